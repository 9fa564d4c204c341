// Asks a Redis for 64 keys at once by MGET for some seconds, some commands in flight on one connection. `redisMget SOCKET KEYS START SECONDS`

#include "../measured.h"
#include "connection.h"

#define TOGETHER 64
#define IN_FLIGHT 16
#define KEY_PART (5 + KEY_BYTES + 2)
#define COMMAND_BYTES (15 + TOGETHER * KEY_PART)

static uint8_t in[1 << 20];
static size_t held, at;
static int fd;

// The next line without its end; the bytes behind it are at `at`.
static long next_number(char kind) {
  for (;;) {
    uint8_t *end = memchr(in + at, '\n', held - at);
    if (end != NULL) {
      if (in[at] != kind) {
        fprintf(stderr, "Redis answers %.40s\n", (char *)in + at);
        exit(1);
      }
      long value = strtol((char *)in + at + 1, NULL, 10);
      at = end + 1 - in;
      return value;
    }
    memmove(in, in + at, held -= at);
    at = 0;
    ssize_t n = recv(fd, in + held, sizeof in - held, 0);
    if (n <= 0) fail("Redis closed the connection");
    held += n;
  }
}

static const uint8_t *next_bytes(size_t length) {
  while (held - at < length) {
    memmove(in, in + at, held -= at);
    at = 0;
    ssize_t n = recv(fd, in + held, sizeof in - held, 0);
    if (n <= 0) fail("Redis closed the connection");
    held += n;
  }
  at += length;
  return in + at - length;
}

static size_t drawn, next;
static mapped keys;

static void write_command(uint8_t *out) {
  out += sprintf((char *)out, "*%d\r\n$4\r\nMGET\r\n", TOGETHER + 1);
  for (int i = 0; i < TOGETHER; i++) {
    memcpy(out, "$16\r\n", 5);
    memcpy(out + 5, keys.bytes + next * KEY_BYTES, KEY_BYTES);
    memcpy(out + 5 + KEY_BYTES, "\r\n", 2);
    out += KEY_PART;
    if (++next == drawn) next = 0;
  }
}

int main(int count, char **words) {
  if (count != 5) return 2;
  keys = map_file(words[2]);
  drawn = keys.length / KEY_BYTES;
  next = strtoull(words[3], NULL, 10) % drawn;
  double seconds = atof(words[4]);
  fd = connect_to(words[1]);
  static uint8_t out[IN_FLIGHT * COMMAND_BYTES + 1];
  uint64_t sent = 0, received = 0;
  uint32_t checksum = 0, wrong = 0;
  size_t due = IN_FLIGHT;
  double began_s = wall_s();
  int isOver = 0;
  while (!isOver || received < sent) {
    for (size_t i = 0; i < due; i++) write_command(out + i * COMMAND_BYTES);
    send_all(fd, out, due * COMMAND_BYTES);
    sent += due;
    // One answer is waited for; what else has come by then is taken too.
    due = 0;
    do {
      if (next_number('*') != TOGETHER) return 1;
      for (int i = 0; i < TOGETHER; i++) {
        long length = next_number('$');
        if (length < 0) {
          wrong++;
          continue;
        }
        const uint8_t *value = next_bytes(length + 2);
        if (received * TOGETHER < CHECKED) checksum += answer_hash(received * TOGETHER + i, value, length);
      }
      received++;
      due++;
    } while (received < sent && held - at >= 4096);
    isOver = received * TOGETHER >= CHECKED && wall_s() - began_s >= seconds;
    if (isOver) due = 0;
  }
  printf("{\"answers\":%lu,\"seconds\":%.3f,\"checksum\":%u,\"wrong\":%u}\n", received * TOGETHER, wall_s() - began_s, checksum, wrong);
  return 0;
}
