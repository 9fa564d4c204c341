// What the C programs of the bench share: files mapped whole, time, the checksum that all sides are compared by.

#define _GNU_SOURCE
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define KEY_BYTES 16
// A sorted file holds for each entry its key and the kind of its record; a file of records holds for each kind a length (u16) and the bytes.
#define SORTED_BYTES 17
#define RECORD_SLOT_BYTES 64
// The checksum of a round covers its first answers; the time of a round ends no sooner.
#define CHECKED 4096

typedef struct {
  const uint8_t *bytes;
  size_t length;
} mapped;

static void fail(const char *what) {
  perror(what);
  exit(1);
}

// Reads all of it in, so that no fault falls into what is measured.
static mapped map_file(const char *path) {
  int fd = open(path, O_RDONLY);
  struct stat stat;
  if (fd < 0 || fstat(fd, &stat) != 0) fail(path);
  void *at = mmap(NULL, stat.st_size, PROT_READ, MAP_SHARED | MAP_POPULATE, fd, 0);
  if (at == MAP_FAILED) fail(path);
  close(fd);
  return (mapped){at, stat.st_size};
}

static double seconds_of(clockid_t clock) {
  struct timespec now;
  clock_gettime(clock, &now);
  return now.tv_sec + now.tv_nsec * 1e-9;
}

static inline double wall_s(void) { return seconds_of(CLOCK_MONOTONIC); }

// FNV-1a of an answer's bytes, begun with its place in the round: the sum over a round doesn't depend on the order of arrival.
static inline uint32_t answer_hash(uint32_t place, const uint8_t *bytes, size_t length) {
  uint32_t hash = 2166136261u ^ place;
  for (size_t i = 0; i < length; i++) hash = (hash ^ bytes[i]) * 16777619u;
  return hash;
}
