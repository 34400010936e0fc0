/**
 * Value: attributes of a data set in DICOM JSON, for people and for decisions.
 *
 * Thread: pure functions.
 * Standard: PS3.18 annex F.
 */
#ifndef DL_CLI_VALUE_H
#define DL_CLI_VALUE_H

#include "base/arena.h"

/** The first value of an attribute as raw JSON; false when it has none. `tag`: eight hex digits. */
bool dl_cli_value_first(dl_str data_set, const char *tag, dl_str *out_value);
/** The first value when it is text; ptr NULL when there is none. */
DL_NODISCARD dl_status dl_cli_value_text(dl_str data_set, const char *tag, dl_arena *arena,
                                         dl_str *out_text, dl_error *err);
bool dl_cli_value_number(dl_str data_set, const char *tag, int64_t *out_number);
/**
 * All values for a person: joined with backslashes, of a name its first spelling, of a sequence the
 * number of its items; empty when there are none.
 */
DL_NODISCARD dl_status dl_cli_value_show(dl_str data_set, const char *tag, dl_arena *arena,
                                         dl_str *out_text, dl_error *err);

#endif
