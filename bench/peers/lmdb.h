// What the loops over LMDB and their loader share: an environment and a transaction, or the library's word on why there is none.

#include "../measured.h"
#include <lmdb.h>

static void check(int status, const char *what) {
  if (status == 0) return;
  fprintf(stderr, "%s: %s\n", what, mdb_strerror(status));
  exit(1);
}

static MDB_txn *begin(const char *folder, unsigned environment_flags, unsigned transaction_flags) {
  MDB_env *env;
  MDB_txn *txn;
  check(mdb_env_create(&env), "env");
  check(mdb_env_set_mapsize(env, (size_t)256 << 30), "map size");
  check(mdb_env_open(env, folder, environment_flags, 0600), folder);
  check(mdb_txn_begin(env, NULL, transaction_flags, &txn), "transaction");
  return txn;
}
