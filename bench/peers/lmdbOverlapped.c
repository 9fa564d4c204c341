// The C loop that overlaps its misses: 64 keys go down the tree together, a level at a time, by an own walk over LMDB's pages; `mdb_get` can't be interrupted, so
// the library only holds the read transaction. On every page the place of a key is guessed from the bounds that the level above gave (keys are hashes, hence
// uniform) and prefetched; the guess is corrected step by step. Every value is touched at both ends. `lmdbOverlapped FOLDER KEYS START SECONDS`
//
// Layout (LMDB 0.9, mdb.c): page: number u64, pad u16, flags u16, lower u16, upper u16, then u16 offsets of nodes from the page's beginning. Node: u16 low, u16 high,
// u16 flags, u16 length of the key, key, value. Child's page: low | high << 16 | flags << 32; length of a value: low | high << 16. Meta, behind the page's head:
// magic u32, version u32, address u64, size u64, two trees of 48 bytes, last page u64, transaction u64; a tree: its depth (u16) at 6, its root (u64) at 40.

#include "lmdb.h"

#define TOGETHER 64
#define PAGE 4096
#define HEAD 16

static inline uint16_t u16(const uint8_t *at) { return at[0] | at[1] << 8; }

static inline uint64_t u64(const uint8_t *at) {
  uint64_t value;
  memcpy(&value, at, 8);
  return value;
}

static inline uint64_t big(const uint8_t *at) { return __builtin_bswap64(u64(at)); }

typedef struct {
  const uint8_t *page, *node, *key;
  uint64_t first, from, until;
  int nodes, guess;
} going;

static inline const uint8_t *node_at(const going *g, int i) { return g->page + u16(g->page + HEAD + 2 * i); }

static inline int is_beyond(const uint8_t *node, const going *g) {
  uint64_t first = big(node + 8);
  return first != g->first ? first > g->first : memcmp(node + 8, g->key, KEY_BYTES) > 0;
}

// The last node whose key is not beyond; the first of a branch stands for all below the second.
static inline int place_of(const going *g) {
  int at = g->guess;
  while (at > 0 && is_beyond(node_at(g, at), g)) at--;
  while (at + 1 < g->nodes && !is_beyond(node_at(g, at + 1), g)) at++;
  return at;
}

// Values of `TOGETHER` keys; NULL: absent.
static void find(const uint8_t *base, uint64_t root, int depth, going *all, const uint8_t **values, uint32_t *lengths) {
  for (int i = 0; i < TOGETHER; i++) all[i].page = base + root * PAGE;
  for (int level = 1; level <= depth; level++) {
    for (int i = 0; i < TOGETHER; i++) {
      going *g = &all[i];
      g->nodes = (u16(g->page + 12) - HEAD) >> 1;
      double share = (double)(g->first - g->from) / ((double)(g->until - g->from) + 1);
      int guess = (int)(share * g->nodes);
      g->guess = guess < 0 ? 0 : guess >= g->nodes ? g->nodes - 1 : guess;
      __builtin_prefetch(g->page + HEAD + 2 * g->guess);
    }
    for (int i = 0; i < TOGETHER; i++) {
      const uint8_t *node = node_at(&all[i], all[i].guess);
      __builtin_prefetch(node);
      __builtin_prefetch(node + 63);
    }
    for (int i = 0; i < TOGETHER; i++) {
      going *g = &all[i];
      int at = place_of(g);
      const uint8_t *node = node_at(g, at);
      if (level == depth) {
        int isFound = memcmp(node + 8, g->key, KEY_BYTES) == 0;
        values[i] = isFound ? node + 8 + KEY_BYTES : NULL;
        lengths[i] = u16(node) | (uint32_t)u16(node + 2) << 16;
        continue;
      }
      if (at > 0) g->from = big(node + 8);
      if (at + 1 < g->nodes) g->until = big(node_at(g, at + 1) + 8);
      g->page = base + (u16(node) | (uint64_t)u16(node + 2) << 16 | (uint64_t)u16(node + 4) << 32) * PAGE;
      __builtin_prefetch(g->page);
    }
  }
}

int main(int count, char **words) {
  if (count != 5) return 2;
  mapped keys = map_file(words[2]);
  size_t drawn = keys.length / KEY_BYTES, next = strtoull(words[3], NULL, 10) % drawn;
  double seconds = atof(words[4]);
  // The library holds the transaction, and with it the pages; all the rest is read past it.
  begin(words[1], MDB_RDONLY | MDB_NOTLS, MDB_RDONLY);
  char path[4096];
  snprintf(path, sizeof path, "%s/data.mdb", words[1]);
  mapped file = map_file(path);
  const uint8_t *meta = file.bytes + HEAD;
  if (u64(meta + PAGE + 128) > u64(meta + 128)) meta += PAGE;
  int depth = u16(meta + 72 + 6);
  uint64_t root = u64(meta + 72 + 40);

  going all[TOGETHER];
  const uint8_t *values[TOGETHER];
  uint32_t lengths[TOGETHER];
  uint64_t answers = 0;
  uint32_t checksum = 0, wrong = 0;
  volatile uint8_t touched = 0;
  double began_s = wall_s(), cpu_s = seconds_of(CLOCK_PROCESS_CPUTIME_ID);
  while (answers < CHECKED || wall_s() - began_s < seconds) {
    for (int batch = 0; batch < 16; batch++) {
      for (int i = 0; i < TOGETHER; i++) {
        const uint8_t *key = keys.bytes + next * KEY_BYTES;
        all[i] = (going){.key = key, .first = big(key), .from = 0, .until = UINT64_MAX};
        if (++next == drawn) next = 0;
      }
      find(file.bytes, root, depth, all, values, lengths);
      for (int i = 0; i < TOGETHER; i++, answers++) {
        if (values[i] == NULL) {
          wrong++;
          continue;
        }
        touched += values[i][0] + values[i][lengths[i] - 1];
        if (answers < CHECKED) checksum += answer_hash(answers, values[i], lengths[i]);
      }
    }
  }
  cpu_s = seconds_of(CLOCK_PROCESS_CPUTIME_ID) - cpu_s;
  printf("{\"answers\":%lu,\"seconds\":%.3f,\"cpuUs\":%.0f,\"checksum\":%u,\"wrong\":%u,\"depth\":%d}\n", answers, wall_s() - began_s, cpu_s * 1e6, checksum, wrong, depth);
  return 0;
}
