/**
 * Schema: the tables of HOME/state/factory.db and how older files are brought to it.
 *
 * Thread: immutable.
 */
#ifndef DL_FACTORY_SCHEMA_H
#define DL_FACTORY_SCHEMA_H

#include "factory/document.h"

/** For dl_db_migrate. A script that was released is never changed: a new one is added. */
extern const char *const dl_factory_migrations[];
extern const size_t dl_factory_migration_count;

/** Where names of documents stand outside `published`: dl_catalog_rename changes them all. */
typedef struct dl_factory_name_place {
    dl_factory_kind kind;
    const char *update_sql; /* ?1 the old name, ?2 the new one */
} dl_factory_name_place;
extern const dl_factory_name_place dl_factory_name_places[];
extern const size_t dl_factory_name_place_count;

#endif
