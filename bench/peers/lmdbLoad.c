// Writes the store of the C loops: the same entries under the same keys, in the order of the keys, by LMDB as the distribution ships it (the service's own
// file has another format). `lmdbLoad FOLDER SORTED RECORDS`

#include "lmdb.h"

int main(int count, char **words) {
  if (count != 4) return 2;
  mapped sorted = map_file(words[2]), records = map_file(words[3]);
  MDB_dbi db;
  MDB_txn *txn = begin(words[1], MDB_NOSYNC, 0);
  MDB_env *env = mdb_txn_env(txn);
  check(mdb_dbi_open(txn, NULL, 0, &db), "database");
  for (size_t i = 0; i < sorted.length / SORTED_BYTES; i++) {
    if (i % 1000000 == 999999) {
      check(mdb_txn_commit(txn), "commit");
      check(mdb_txn_begin(env, NULL, 0, &txn), "transaction");
    }
    const uint8_t *at = sorted.bytes + i * SORTED_BYTES;
    const uint8_t *record = records.bytes + at[KEY_BYTES] * RECORD_SLOT_BYTES;
    MDB_val key = {KEY_BYTES, (void *)at};
    MDB_val value = {record[0] | record[1] << 8, (void *)(record + 2)};
    check(mdb_put(txn, db, &key, &value, MDB_APPEND), "put");
  }
  check(mdb_txn_commit(txn), "commit");
  mdb_env_close(env);
  return 0;
}
