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

/* ---- windows and runs ---- */

/*
 * run            `status` is a dl_run_status, `type` a dl_factory_trigger_type. `retry` counts the
 *                tries since it was due or asked for, `attempt` all of its window or group.
 * `asked`: a person wants it, also when its trigger is stopped. `newest`: of its window. Names are
 * indexed with the columns that a list is bounded or ordered by. run_window     `state`: 0 waits, 1
 * has a run queued or in progress, else the dl_run_status that its newest run (`run`, `run_id`)
 * ended with. trigger_place  where a trigger stands: what is due is made up to `position_us`;
 * `start_us` is its document's when that was looked at; `sequence` and `fired_us` are of the last
 * run on change; `started` as it was at the last step.
 */
/* clang-format off */
static const char runs_1[] =
    "CREATE TABLE run(seq INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE,"
    " group_id TEXT NOT NULL, pipeline TEXT NOT NULL COLLATE NOCASE,"
    " trigger TEXT NOT NULL COLLATE NOCASE, type INTEGER NOT NULL, window_start_us INTEGER,"
    " window_end_us INTEGER, scheduled_us INTEGER NOT NULL, queued_us INTEGER NOT NULL,"
    " started_us INTEGER NOT NULL DEFAULT 0, ended_us INTEGER NOT NULL DEFAULT 0,"
    " not_before_us INTEGER NOT NULL, status INTEGER NOT NULL, attempt INTEGER NOT NULL,"
    " retry INTEGER NOT NULL, asked INTEGER NOT NULL, newest INTEGER NOT NULL,"
    " cancel_asked INTEGER NOT NULL DEFAULT 0, parameters TEXT NOT NULL DEFAULT '',"
    " cause TEXT NOT NULL DEFAULT '', hint TEXT NOT NULL DEFAULT '',"
    " counts TEXT NOT NULL DEFAULT '');"
    "CREATE INDEX run_queued ON run(queued_us);"
    "CREATE INDEX run_status ON run(status, queued_us);"
    "CREATE INDEX run_pipeline ON run(pipeline, queued_us);"
    "CREATE INDEX run_pipeline_status ON run(pipeline, status, queued_us);"
    "CREATE INDEX run_trigger ON run(trigger, queued_us);"
    "CREATE INDEX run_trigger_status ON run(trigger, status, queued_us);"
    "CREATE INDEX run_both ON run(trigger, pipeline, queued_us);"
    "CREATE INDEX run_both_status ON run(trigger, pipeline, status, queued_us);"
    "CREATE INDEX run_group ON run(group_id, queued_us);"
    "CREATE INDEX run_waits ON run(seq) WHERE status = 0;"
    "CREATE INDEX run_works ON run(trigger, pipeline) WHERE status = 1;"
    "CREATE INDEX run_old ON run(ended_us) WHERE ended_us > 0 AND newest = 0;"
    "CREATE TABLE run_line(run INTEGER, line INTEGER, time_us INTEGER NOT NULL,"
    " level TEXT NOT NULL, text TEXT NOT NULL, PRIMARY KEY(run, line)) WITHOUT ROWID;"
    "CREATE TABLE run_window(trigger TEXT COLLATE NOCASE, start_us INTEGER,"
    " end_us INTEGER NOT NULL, state INTEGER NOT NULL, asked INTEGER NOT NULL DEFAULT 0,"
    " attempts INTEGER NOT NULL DEFAULT 0, run INTEGER, run_id TEXT NOT NULL DEFAULT '',"
    " PRIMARY KEY(trigger, start_us)) WITHOUT ROWID;"
    "CREATE INDEX run_window_state ON run_window(trigger, state, start_us);"
    "CREATE INDEX run_window_asked ON run_window(trigger, start_us) WHERE state = 0 AND asked = 1;"
    "CREATE TABLE run_total(pipeline TEXT COLLATE NOCASE PRIMARY KEY,"
    " succeeded INTEGER NOT NULL DEFAULT 0, failed INTEGER NOT NULL DEFAULT 0,"
    " cancelled INTEGER NOT NULL DEFAULT 0, worked_us INTEGER NOT NULL DEFAULT 0,"
    " changes INTEGER NOT NULL DEFAULT 0, rows_in INTEGER NOT NULL DEFAULT 0,"
    " rows_out INTEGER NOT NULL DEFAULT 0, bytes INTEGER NOT NULL DEFAULT 0,"
    " last_success_us INTEGER NOT NULL DEFAULT 0) WITHOUT ROWID;"
    "CREATE TABLE trigger_place(trigger TEXT COLLATE NOCASE PRIMARY KEY,"
    " pipeline TEXT NOT NULL COLLATE NOCASE, started INTEGER NOT NULL, start_us INTEGER NOT NULL,"
    " position_us INTEGER NOT NULL, sequence INTEGER NOT NULL DEFAULT -1,"
    " fired_us INTEGER NOT NULL DEFAULT 0) WITHOUT ROWID;"
    "CREATE INDEX trigger_place_pipeline ON trigger_place(pipeline);";
/* clang-format on */

/* ---- all of them, in order ---- */

const char *const dl_factory_migrations[] = {
    documents_1,
    runs_1,
};
const size_t dl_factory_migration_count = DL_COUNT_OF(dl_factory_migrations);

const dl_factory_name_place dl_factory_name_places[] = {
    {DL_FACTORY_PIPELINE, "UPDATE published SET name = ?2 WHERE kind = 1 AND name = ?1"},
    {DL_FACTORY_TRIGGER, "UPDATE published SET name = ?2 WHERE kind = 2 AND name = ?1"},
    {DL_FACTORY_PIPELINE, "UPDATE run SET pipeline = ?2 WHERE pipeline = ?1"},
    {DL_FACTORY_PIPELINE, "UPDATE OR REPLACE run_total SET pipeline = ?2 WHERE pipeline = ?1"},
    {DL_FACTORY_PIPELINE, "UPDATE trigger_place SET pipeline = ?2 WHERE pipeline = ?1"},
    {DL_FACTORY_TRIGGER, "UPDATE run SET trigger = ?2 WHERE trigger = ?1"},
    /* what a trigger that is long gone left under the new name */
    {DL_FACTORY_TRIGGER, "DELETE FROM run_window WHERE trigger = ?2"
                         " AND ?1 <> ?2 COLLATE NOCASE"},
    {DL_FACTORY_TRIGGER, "DELETE FROM trigger_place WHERE trigger = ?2"
                         " AND ?1 <> ?2 COLLATE NOCASE"},
    {DL_FACTORY_TRIGGER, "UPDATE run_window SET trigger = ?2 WHERE trigger = ?1"},
    {DL_FACTORY_TRIGGER, "UPDATE trigger_place SET trigger = ?2 WHERE trigger = ?1"},
};
const size_t dl_factory_name_place_count = DL_COUNT_OF(dl_factory_name_places);
