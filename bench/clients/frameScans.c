// Keeps some frames of 64 scans in flight on one WebSocket for some seconds, and looks at every answer. `TOKEN=… frameScans PORT QUESTIONS KINDS KNOWN START SECONDS`
// Frames are masked with zeroes, so that they can be sent as they lie; the server unmasks them all the same.

#include "../measured.h"
#include "answers.h"
#include "connection.h"

#define SCANS 64
#define IN_FLIGHT 16
#define ANSWER_BYTES 16
#define LIMITED 254
#define FRAME_BYTES (8 + 6 + SCANS * QUESTION_BYTES)
#define ANSWERS_BYTES (4 + 6 + SCANS * ANSWER_BYTES)

static void open_stream(int fd) {
  char head[2048];
  int length = snprintf(head, sizeof head,
                        "GET /v1/stream HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
                        "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nAuthorization: Bearer %s\r\n\r\n",
                        getenv("TOKEN"));
  send_all(fd, (uint8_t *)head, length);
  // Nobody sends before we have asked: what comes is the answer's head alone.
  size_t got = 0;
  do {
    ssize_t n = recv(fd, head + got, sizeof head - 1 - got, 0);
    if (n <= 0) fail("the stream did not open");
    head[got += n] = 0;
  } while (strstr(head, "\r\n\r\n") == NULL);
  if (strncmp(head, "HTTP/1.1 101", 12) != 0) {
    fprintf(stderr, "the stream was refused: %.12s\n", head);
    exit(1);
  }
}

static void write_frame(uint8_t *frame, const world *w, uint32_t sequence, size_t question) {
  const uint16_t payload = FRAME_BYTES - 8, scans = SCANS;
  const uint8_t head[8] = {0x82, 0x80 | 126, payload >> 8, payload & 255, 0, 0, 0, 0};
  memcpy(frame, head, 8);
  memcpy(frame + 8, &sequence, 4);
  memcpy(frame + 12, &scans, 2);
  memcpy(frame + 14, w->questions.bytes + question * QUESTION_BYTES, SCANS * QUESTION_BYTES);
}

int main(int count, char **words) {
  if (count != 7) return 2;
  world w = open_world(words[2], words[3], words[4]);
  size_t frames = w.drawn / SCANS, first = strtoull(words[5], NULL, 10) / SCANS;
  double seconds = atof(words[6]);
  int fd = connect_to(words[1]);
  open_stream(fd);
  static uint8_t out[IN_FLIGHT * FRAME_BYTES], in[4 * IN_FLIGHT * ANSWERS_BYTES];
  uint64_t sent = 0, received = 0;
  uint32_t checksum = 0, wrong = 0;
  size_t held = 0, due = IN_FLIGHT;
  double began_s = wall_s();
  int isOver = 0;
  while (!isOver || received < sent) {
    for (size_t i = 0; i < due; i++) write_frame(out + i * FRAME_BYTES, &w, sent + i, (first + sent + i) % frames * SCANS);
    send_all(fd, out, due * FRAME_BYTES);
    sent += due;
    ssize_t n = recv(fd, in + held, sizeof in - held, 0);
    if (n <= 0) fail("the stream was closed");
    held += n;
    size_t at = 0;
    for (due = 0; at + ANSWERS_BYTES <= held; at += ANSWERS_BYTES, due++, received++) {
      const uint8_t *answer = in + at;
      uint32_t sequence;
      memcpy(&sequence, answer + 4, 4);
      if (answer[0] != 0x82 || answer[1] != 126 || (answer[2] << 8 | answer[3]) != ANSWERS_BYTES - 4 || sequence != (uint32_t)received) {
        fprintf(stderr, "an answer that is none\n");
        return 1;
      }
      if (answer[10] == LIMITED) {
        fprintf(stderr, "the device is over its limit: give it a larger scansPerSecond\n");
        return 1;
      }
      size_t question = (first + received) % frames * SCANS;
      for (int i = 0; i < SCANS; i++) {
        const uint8_t *record = answer + 10 + i * ANSWER_BYTES;
        wrong += record[0] > 5 || !is_right(&w, question + i, record[2], record[4] | record[5] << 8);
        // Result and flags, not the time.
        if (received * SCANS < CHECKED) checksum += answer_hash(received * SCANS + i, record, 8);
      }
    }
    memmove(in, in + at, held -= at);
    isOver = received * SCANS >= CHECKED && wall_s() - began_s >= seconds;
    if (isOver) due = 0;
  }
  printf("{\"answers\":%lu,\"seconds\":%.3f,\"checksum\":%u,\"wrong\":%u}\n", received * SCANS, wall_s() - began_s, checksum, wrong);
  return 0;
}
