// Fills a Redis with entries, by MSET of 64, many in flight. `redisFill SOCKET ENTRIES RECORDS`; the entries' file is as a sorted one, in any order.

#include "../measured.h"
#include "connection.h"

#define TOGETHER 64
#define IN_FLIGHT 32

// Answers of so many commands are still to come; each is +OK.
static void await_oks(int fd, size_t commands) {
  static uint8_t in[5 * IN_FLIGHT];
  for (size_t due = commands * 5; due > 0;) {
    ssize_t n = recv(fd, in, due < sizeof in ? due : sizeof in, 0);
    if (n <= 0 || memchr(in, '-', n) != NULL) fail("Redis refused to keep what was sent");
    due -= n;
  }
}

int main(int count, char **words) {
  if (count != 4) return 2;
  mapped entries = map_file(words[2]), records = map_file(words[3]);
  size_t total = entries.length / SORTED_BYTES;
  int fd = connect_to(words[1]);
  static uint8_t out[IN_FLIGHT * TOGETHER * 128];
  size_t commands = 0, before = 0;
  uint8_t *end = out;
  for (size_t i = 0; i < total;) {
    size_t pairs = total - i < TOGETHER ? total - i : TOGETHER;
    end += sprintf((char *)end, "*%zu\r\n$4\r\nMSET\r\n", 2 * pairs + 1);
    for (size_t k = 0; k < pairs; k++, i++) {
      const uint8_t *at = entries.bytes + i * SORTED_BYTES, *record = records.bytes + at[KEY_BYTES] * RECORD_SLOT_BYTES;
      int length = record[0] | record[1] << 8;
      memcpy(end, "$16\r\n", 5);
      memcpy(end + 5, at, KEY_BYTES);
      end += 5 + KEY_BYTES;
      end += sprintf((char *)end, "\r\n$%d\r\n", length);
      memcpy(end, record + 2, length);
      memcpy(end + length, "\r\n", 2);
      end += length + 2;
    }
    if (++commands < IN_FLIGHT && i < total) continue;
    send_all(fd, out, end - out);
    await_oks(fd, before);
    before = commands;
    commands = 0;
    end = out;
  }
  await_oks(fd, before);
  return 0;
}
