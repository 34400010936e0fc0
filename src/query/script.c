#include "query/internal.h"

bool dl_query_next_statement(dl_str *rest, dl_str *out_statement)
{
    return dl_dialect_next_statement(rest, out_statement);
}

bool dl_query_is_open(dl_str text)
{
    return dl_dialect_is_open(text);
}
