// The C loop that scans in frames are measured against: `mdb_get` of one key after the other, in one read transaction that stays open; every value is touched at
// both ends. It checks nothing, hashes nothing and speaks to nobody. `lmdbSequential FOLDER KEYS START SECONDS`

#include "lmdb.h"

int main(int count, char **words) {
  if (count != 5) return 2;
  mapped keys = map_file(words[2]);
  size_t drawn = keys.length / KEY_BYTES, next = strtoull(words[3], NULL, 10) % drawn;
  double seconds = atof(words[4]);
  MDB_dbi db;
  MDB_cursor *cursor;
  MDB_val key, value;
  MDB_stat stat;
  MDB_txn *txn = begin(words[1], MDB_RDONLY | MDB_NOTLS, MDB_RDONLY);
  check(mdb_dbi_open(txn, NULL, 0, &db), "database");
  check(mdb_stat(txn, db, &stat), "stat");
  // Once over everything, so that all pages are in the process' tables.
  check(mdb_cursor_open(txn, db, &cursor), "cursor");
  volatile uint8_t touched = 0;
  while (mdb_cursor_get(cursor, &key, &value, MDB_NEXT) == 0) touched += *(uint8_t *)value.mv_data;

  uint64_t answers = 0;
  uint32_t checksum = 0;
  double began_s = wall_s(), cpu_s = seconds_of(CLOCK_PROCESS_CPUTIME_ID);
  while (answers < CHECKED || wall_s() - began_s < seconds) {
    for (int i = 0; i < 1024; i++) {
      key = (MDB_val){KEY_BYTES, (void *)(keys.bytes + next * KEY_BYTES)};
      check(mdb_get(txn, db, &key, &value), "get");
      const uint8_t *bytes = value.mv_data;
      touched += bytes[0] + bytes[value.mv_size - 1];
      if (answers < CHECKED) checksum += answer_hash(answers, bytes, value.mv_size);
      answers++;
      if (++next == drawn) next = 0;
    }
  }
  cpu_s = seconds_of(CLOCK_PROCESS_CPUTIME_ID) - cpu_s;
  printf("{\"answers\":%lu,\"seconds\":%.3f,\"cpuUs\":%.0f,\"checksum\":%u,\"wrong\":0,\"depth\":%u}\n", answers, wall_s() - began_s, cpu_s * 1e6, checksum, stat.ms_depth);
  return 0;
}
