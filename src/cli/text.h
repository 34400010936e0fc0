/**
 * Text for a terminal: values from files must not move the cursor or pose as something else.
 *
 * Thread: pure functions.
 */
#ifndef DL_CLI_TEXT_H
#define DL_CLI_TEXT_H

#include "base/buf.h"

#include <stdio.h>

/** Append `text` with control characters, bidirectional overrides and ill-formed bytes as U+FFFD.
 */
DL_NODISCARD dl_status dl_cli_text_clean(dl_str text, dl_buf *out, dl_error *err);
/** Print checked JSON as it came, but what dl_cli_text_clean would replace as \uXXXX: that is the
 * same text to a program, and no order to a terminal. */
void dl_cli_text_json(dl_str json, FILE *out);

enum { DL_CLI_AMOUNT_SIZE = 40 };

/** "999 B", "1.2 kB", "45.6 GB": powers of 1000. */
void dl_cli_text_bytes(uint64_t bytes, char out[DL_CLI_AMOUNT_SIZE]);
/** "0:07", "12:34", "1:02:03". */
void dl_cli_text_duration(int64_t seconds, char out[DL_CLI_AMOUNT_SIZE]);

#endif
