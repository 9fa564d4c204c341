// Scans over HTTP for some seconds: 32 connections, one request in flight on each, answers looked at. Without a file of codes documents are sent, else a code in the
// header and no body. `TOKEN=… httpScans PORT QUESTIONS KINDS KNOWN START SECONDS [CODES]`; the i-th line of the codes stands for the i-th question.

#include "../measured.h"
#include "answers.h"
#include "connection.h"
#include <sys/epoll.h>

#define CONNECTIONS 32
#define MESSAGE_BYTES 4096
#define CODE_BYTES_MAX 192
// A constant answer says nothing, so a bare handler's are not looked at.
#define BARE 'x'

typedef struct {
  int fd;
  size_t question, place, held;
  char in[MESSAGE_BYTES];
} connection;

static world w;
static mapped codes;
static size_t *code_at, code_count;

static void index_codes(void) {
  code_at = malloc(sizeof *code_at * (codes.length / 32));
  for (size_t at = 0; at < codes.length; at = (const uint8_t *)memchr(codes.bytes + at, '\n', codes.length - at) - codes.bytes + 1) code_at[code_count++] = at;
}

static void ask(connection *c, size_t question, size_t place) {
  static char head[1024];
  static int head_length;
  if (head_length == 0) head_length = snprintf(head, sizeof head, "POST /v1/scan HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer %s\r\n", getenv("TOKEN"));
  char out[MESSAGE_BYTES];
  memcpy(out, head, head_length);
  int length = head_length;
  if (code_count > 0) {
    const char *code = (const char *)codes.bytes + code_at[question];
    length += snprintf(out + length, sizeof out - length, "X-Code: %.*s\r\n\r\n", (int)(strchr(code, '\n') - code), code);
  } else {
    static const char front[] = "{\"document\":{\"type\":\"resident-id\",\"number\":\"";
    length += snprintf(out + length, sizeof out - length, "Content-Type: application/json\r\nContent-Length: %d\r\n\r\n%s%.*s\"}}", (int)sizeof front - 1 + NUMBER_BYTES + 3, front, NUMBER_BYTES,
                       (const char *)w.questions.bytes + question * QUESTION_BYTES + NUMBER_AT);
  }
  c->question = question;
  c->place = place;
  c->held = 0;
  send_all(c->fd, (uint8_t *)out, length);
}

// Length of the whole answer that begins in `in`, 0: its head has not come whole.
static size_t answer_length(const char *in) {
  const char *end = strstr(in, "\r\n\r\n"), *length = strcasestr(in, "\r\nContent-Length:");
  if (end == NULL) return 0;
  if (strncmp(in, "HTTP/1.1 200", 12) != 0 || length == NULL || length > end) {
    fprintf(stderr, "a request was refused: %.12s\n", in);
    exit(1);
  }
  return end + 4 - in + strtoull(length + 17, NULL, 10);
}

static int is_wrong(const connection *c, const char *body) {
  const char *popups = strstr(body, "\"popups\":["), *age = strstr(body, "\"testAgeDays\":");
  if (popups == NULL || age == NULL) return 1;
  unsigned bits = 0;
  for (const char *p = popups + 10; *p != ']' && *p != 0; p++) if (*p != ',') bits |= 1u << (*p - '0');
  return !is_right(&w, c->question, bits, age[14] == 'n' ? 0xffff : atoi(age + 14));
}

int main(int count, char **words) {
  if (count < 7 || count > 8) return 2;
  w = open_world(words[2], words[3], words[4]);
  if (count == 8) {
    codes = map_file(words[7]);
    index_codes();
  }
  size_t drawn = code_count > 0 ? code_count : w.drawn, first = strtoull(words[5], NULL, 10);
  double seconds = atof(words[6]);
  static connection connections[CONNECTIONS];
  int poll = epoll_create1(0);
  uint64_t asked = 0, answered = 0;
  uint32_t checksum = 0, wrong = 0;
  for (int i = 0; i < CONNECTIONS; i++) {
    connections[i].fd = connect_to(words[1]);
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = &connections[i]};
    epoll_ctl(poll, EPOLL_CTL_ADD, connections[i].fd, &event);
  }
  double began_s = wall_s();
  for (int i = 0; i < CONNECTIONS; i++, asked++) ask(&connections[i], (first + asked) % drawn, asked);
  while (answered < asked) {
    struct epoll_event events[CONNECTIONS];
    int ready = epoll_wait(poll, events, CONNECTIONS, -1);
    int isOver = asked >= CHECKED && wall_s() - began_s >= seconds;
    for (int i = 0; i < ready; i++) {
      connection *c = events[i].data.ptr;
      ssize_t n = recv(c->fd, c->in + c->held, sizeof c->in - 1 - c->held, 0);
      if (n <= 0) fail("the server closed a connection");
      c->in[c->held += n] = 0;
      size_t length = answer_length(c->in);
      if (length == 0 || c->held < length) continue;
      const char *body = strstr(c->in, "\r\n\r\n") + 4;
      if (body[0] != BARE) {
        wrong += is_wrong(c, body);
        const char *time = strstr(body, "\"serverTime\"");
        if (c->place < CHECKED && time != NULL) checksum += answer_hash(c->place, (const uint8_t *)body, time - body);
      }
      answered++;
      if (!isOver) ask(c, (first + asked) % drawn, asked), asked++;
    }
  }
  printf("{\"answers\":%lu,\"seconds\":%.3f,\"checksum\":%u,\"wrong\":%u}\n", answered, wall_s() - began_s, checksum, wrong);
  return 0;
}
