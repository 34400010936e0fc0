#include "factory/schema.h"

/* ---- documents ---- */

/*
 * published  what triggers and runs see. Connections are not in it: their drafts count. `kind` is a
 *            dl_factory_kind. `started` is a trigger's state: publishing sets it when the
 * document's runtimeState is new or another one than before; starting and stopping set it too. A
 * row whose name changes keeps its `id`. revision   one row; `value` grows with each change of
 * `published`.
 */
/* clang-format off */
static const char documents_1[] =
    "CREATE TABLE published(id INTEGER PRIMARY KEY, kind INTEGER NOT NULL,"
    " name TEXT NOT NULL COLLATE NOCASE, json TEXT NOT NULL, published_us INTEGER NOT NULL,"
    " started INTEGER NOT NULL DEFAULT 0);"
    "CREATE UNIQUE INDEX published_by_name ON published(kind, name);"
    "CREATE TABLE revision(only_row INTEGER PRIMARY KEY CHECK(only_row = 1), value INTEGER NOT NULL);"
    "INSERT INTO revision VALUES(1, 1);";
/* clang-format on */

/* ---- all of them, in order ---- */

const char *const dl_factory_migrations[] = {
    documents_1,
};
const size_t dl_factory_migration_count = DL_COUNT_OF(dl_factory_migrations);

const dl_factory_name_place dl_factory_name_places[] = {
    {DL_FACTORY_PIPELINE, "UPDATE published SET name = ?2 WHERE kind = 1 AND name = ?1"},
    {DL_FACTORY_TRIGGER, "UPDATE published SET name = ?2 WHERE kind = 2 AND name = ?1"},
};
const size_t dl_factory_name_place_count = DL_COUNT_OF(dl_factory_name_places);
