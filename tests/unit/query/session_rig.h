/**
 * A session over two small tables, and short words for what it answers.
 */
#ifndef DL_TESTS_QUERY_SESSION_RIG_H
#define DL_TESTS_QUERY_SESSION_RIG_H

#include "delta/tables.h"
#include "query/session.h"

#include "tap.h"

enum { TEXT_SIZE = 65536 };

/* Tables "a" and "b" with a column id (and more), and a session over them. */
typedef struct fixture {
    tables tables;
    dl_query_table names[2];
    char folders[2][300];
    dl_query_options options;
    dl_query *query;
    dl_query_place place;
    dl_error err;
    char text[TEXT_SIZE];
} fixture;

extern fixture f;

/** Anew, with the options as they are now. */
void open_session(void);
/** Both tables and a session. */
void begin(void);
void end(void);
/** Cells joined by ',', rows by ';' in `f.text`; the status of what failed. */
dl_status ask_for(const char *sql);

#define ASK(sql, want)                                                                             \
    do {                                                                                           \
        TAP_OK(ask_for(sql), f.err);                                                               \
        TAP_EQ_STR(dl_str_of(f.text), want);                                                       \
    } while (0)

#endif
