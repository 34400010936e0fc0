/* One statement from Spark's spelling to DuckDB's: word by word, all else is copied as it is. */
#include "query/dialect_internal.h"

#include <string.h>

enum { OUTPUT_FACTOR = 4, NAME_PARTS = 3 };

typedef struct reader {
    dl_lexer lexer;
    dl_arena *arena;
    dl_buf sql, pieces, travels; /* the latter two: items one after the other */
    size_t copied;               /* up to here the given text stands in `sql` */
    size_t *at;                  /* where it is wrong */
    dl_error *err;
    /* the dotted name that ends with the word before, if any */
    dl_word parts[NAME_PARTS];
    size_t part_count;
    dl_before before;
} reader;

static dl_word look(dl_lexer lexer)
{
    return dl_lexer_next(&lexer);
}

static dl_status add_piece(reader *r, size_t from)
{
    dl_dialect_piece piece = {from, r->sql.len};
    return dl_buf_append(&r->pieces, &piece, sizeof piece, r->err);
}

static dl_status copy_up_to(reader *r, size_t at)
{
    if (at > r->copied) {
        DL_TRY(add_piece(r, r->copied));
        DL_TRY(dl_buf_append(&r->sql, r->lexer.text.ptr + r->copied, at - r->copied, r->err));
        r->copied = at;
    }
    return DL_OK;
}

/* `text` instead of what is given from `at` to `end`. */
static dl_status replace(reader *r, size_t at, size_t end, dl_str text)
{
    DL_TRY(copy_up_to(r, at));
    DL_TRY(add_piece(r, at));
    DL_TRY(dl_buf_append_str(&r->sql, text, r->err));
    r->copied = end;
    return DL_OK;
}

static dl_status put_name(dl_buf *out, dl_str name, dl_error *err)
{
    DL_TRY(dl_buf_append_char(out, '"', err));
    for (size_t i = 0; i < name.len; i++) {
        DL_TRY(dl_buf_append_char(out, name.ptr[i], err));
        if (name.ptr[i] == '"') {
            DL_TRY(dl_buf_append_char(out, '"', err));
        }
    }
    return dl_buf_append_char(out, '"', err);
}

static dl_status replace_back_quotes(reader *r, dl_word word)
{
    dl_str name = DL_STR_NONE;
    DL_TRY(dl_word_unquote(&r->lexer, word, r->arena, &name, r->err));
    if (name.len == 0) {
        *r->at = word.at;
        return dl_error_set(r->err, DL_E_INVALID, "a name in back quotes is empty");
    }
    DL_TRY(replace(r, word.at, word.end, DL_STR("")));
    return put_name(&r->sql, name, r->err);
}

/* ---- travel ---- */

static dl_status broken_travel(reader *r, size_t at, const char *what)
{
    *r->at = at;
    dl_status status = dl_error_set(r->err, DL_E_INVALID, "%s", what);
    dl_error_hint(r->err, "write FROM table VERSION AS OF 3, or FROM table TIMESTAMP AS OF "
                          "'2026-01-31 12:00:00' (UTC)");
    return status;
}

/* A number or a text with one. */
static dl_status take_version(reader *r, dl_dialect_travel *travel)
{
    dl_word word = dl_lexer_next(&r->lexer);
    dl_str digits = dl_word_text(&r->lexer, word);
    uint64_t version = 0;
    if (word.kind == DL_WORD_TEXT) {
        DL_TRY(dl_word_unquote(&r->lexer, word, r->arena, &digits, r->err));
    }
    if ((word.kind != DL_WORD_TEXT && word.kind != DL_WORD_NUMBER) ||
        !dl_str_to_u64(digits, &version) || version > INT64_MAX) {
        return broken_travel(r, word.at, "VERSION AS OF wants the number of a version");
    }
    travel->version = (int64_t)version;
    return DL_OK;
}

/* '...', TIMESTAMP '...', DATE '...', CAST('...' AS TIMESTAMP), to_timestamp('...'). */
static dl_status take_timestamp(reader *r, dl_dialect_travel *travel)
{
    static const char what[] = "TIMESTAMP AS OF wants a time as text";
    dl_word word = dl_lexer_next(&r->lexer), first = word;
    bool call = dl_word_is(&r->lexer, word, "CAST") || dl_word_is(&r->lexer, word, "TO_DATE") ||
                dl_word_is(&r->lexer, word, "TO_TIMESTAMP");
    if (call) {
        if (!dl_word_is_symbol(&r->lexer, dl_lexer_next(&r->lexer), "(")) {
            return broken_travel(r, word.at, what);
        }
        word = dl_lexer_next(&r->lexer);
    } else if (dl_word_is(&r->lexer, word, "TIMESTAMP") || dl_word_is(&r->lexer, word, "DATE")) {
        word = dl_lexer_next(&r->lexer);
    }
    dl_str text = DL_STR_NONE;
    if (word.kind != DL_WORD_TEXT) {
        return broken_travel(r, word.at, what);
    }
    DL_TRY(dl_word_unquote(&r->lexer, word, r->arena, &text, r->err));
    if (!dl_dialect_time(text, &travel->timestamp_us)) {
        return broken_travel(r, word.at, "TIMESTAMP AS OF: this is no time");
    }
    if (dl_word_is(&r->lexer, first, "CAST")) {
        dl_word as = dl_lexer_next(&r->lexer), type = dl_lexer_next(&r->lexer);
        if (!dl_word_is(&r->lexer, as, "AS") ||
            (!dl_word_is(&r->lexer, type, "TIMESTAMP") && !dl_word_is(&r->lexer, type, "DATE"))) {
            return broken_travel(r, as.at, what);
        }
    }
    if (call && !dl_word_is_symbol(&r->lexer, dl_lexer_next(&r->lexer), ")")) {
        return broken_travel(r, first.at, what);
    }
    return DL_OK;
}

/* The number behind "table@v", or the time behind "table@": yyyyMMddHHmmssSSS. */
static bool short_travel(dl_str text, dl_dialect_travel *travel)
{
    uint64_t number = 0;
    if (text.len > 1 && (text.ptr[0] == 'v' || text.ptr[0] == 'V')) {
        if (!dl_str_to_u64(dl_str_slice(text, 1, SIZE_MAX), &number) || number > INT64_MAX) {
            return false;
        }
        travel->version = (int64_t)number;
        return true;
    }
    int64_t days = 0;
    if (text.len != 17 || !dl_str_to_u64(text, &number)) {
        return false;
    }
    uint64_t clock = number % 1000000000, date = number / 1000000000;
    uint64_t hour = clock / 10000000, minute = clock / 100000 % 100, second = clock / 1000 % 100;
    if (hour > 23 || minute > 59 || second > 59 ||
        !dl_clock_days((int64_t)(date / 10000), (int64_t)(date / 100 % 100), (int64_t)(date % 100),
                       &days)) {
        return false;
    }
    travel->timestamp_us = ((days * 24 + (int64_t)hour) * 60 + (int64_t)minute) * 60000000 +
                           (int64_t)second * 1000000 + (int64_t)(clock % 1000) * 1000;
    return true;
}

/* Whether the table that `lexer` stands behind has a name of its own. */
static bool has_alias(dl_lexer lexer)
{
    dl_word word = dl_lexer_next(&lexer);
    if (dl_word_is(&lexer, word, "AS")) {
        return true;
    }
    return dl_word_is_name(word) &&
           (word.kind != DL_WORD_NAME || !dl_word_is_reserved(dl_word_text(&lexer, word)));
}

/* The table's name and what says when are replaced by a name of our own and, so that columns are
 * found by the table's name as before, that as an alias. */
static dl_status put_travel(reader *r, dl_dialect_travel *travel)
{
    size_t i = r->travels.len / sizeof *travel;
    const dl_word *last = &r->parts[r->part_count - 1];
    travel->at = r->parts[0].at;
    DL_TRY(dl_word_unquote(&r->lexer, *last, r->arena, &travel->table, r->err));
    if (r->part_count > 1) {
        DL_TRY(dl_word_unquote(&r->lexer, last[-1], r->arena, &travel->schema, r->err));
    }
    DL_TRY(dl_arena_printf(r->arena, &travel->internal, r->err, "dl_travel/%zu", i + 1));
    /* A name in back quotes is in `sql` already. */
    while (r->pieces.len > 0) {
        const dl_dialect_piece *piece =
            (const dl_dialect_piece *)(const void *)(r->pieces.ptr + r->pieces.len) - 1;
        if (piece->from < travel->at || r->copied <= travel->at) {
            break;
        }
        r->sql.len = piece->to;
        r->copied = piece->from;
        r->pieces.len -= sizeof *piece;
    }
    if (r->copied > travel->at) {
        r->sql.len -= r->copied - travel->at;
        r->copied = travel->at;
    }
    DL_TRY(replace(r, travel->at, r->lexer.pos, DL_STR("")));
    DL_TRY(put_name(&r->sql, travel->internal, r->err));
    if (!has_alias(r->lexer)) {
        DL_TRY(dl_buf_append_str(&r->sql, DL_STR(" AS "), r->err));
        DL_TRY(put_name(&r->sql, travel->table, r->err));
    }
    r->part_count = 0;
    r->before = DL_BEFORE_OPERATOR; /* MINUS may follow */
    return dl_buf_append(&r->travels, travel, sizeof *travel, r->err);
}

/* [FOR] VERSION|SYSTEM_VERSION|TIMESTAMP|SYSTEM_TIME AS OF ...; `word` is the first of them. */
static dl_status take_travel(reader *r, dl_word word, bool *out_taken)
{
    dl_lexer ahead = r->lexer;
    dl_dialect_travel travel = {.version = -1, .timestamp_us = INT64_MIN};
    if (dl_word_is(&ahead, word, "FOR")) {
        word = dl_lexer_next(&ahead);
    }
    bool by_version =
        dl_word_is(&ahead, word, "VERSION") || dl_word_is(&ahead, word, "SYSTEM_VERSION");
    bool by_time = dl_word_is(&ahead, word, "TIMESTAMP") || dl_word_is(&ahead, word, "SYSTEM_TIME");
    if (r->part_count == 0 || (!by_version && !by_time) ||
        !dl_word_is(&ahead, dl_lexer_next(&ahead), "AS") ||
        !dl_word_is(&ahead, dl_lexer_next(&ahead), "OF")) {
        return DL_OK;
    }
    r->lexer = ahead;
    DL_TRY(by_version ? take_version(r, &travel) : take_timestamp(r, &travel));
    *out_taken = true;
    return put_travel(r, &travel);
}

/* "table@v3"; `word` is the '@'. */
static dl_status take_short_travel(reader *r, dl_word word, bool *out_taken)
{
    dl_dialect_travel travel = {.version = -1, .timestamp_us = INT64_MIN};
    dl_lexer ahead = r->lexer;
    dl_word when = dl_lexer_next(&ahead);
    if (r->part_count == 0 || r->parts[r->part_count - 1].end != word.at || when.at != word.end) {
        return DL_OK;
    }
    if (!short_travel(dl_word_text(&ahead, when), &travel)) {
        return broken_travel(r, word.at, "what follows @ is neither v and a version nor a time");
    }
    r->lexer = ahead;
    *out_taken = true;
    return put_travel(r, &travel);
}

/* ---- words ---- */

/* Keeps the dotted name that the word belongs to. `after_dot`: the word before was a dot. */
static void follow_name(reader *r, dl_word word, bool *after_dot)
{
    bool dot = dl_word_is_symbol(&r->lexer, word, ".");
    bool name = dl_word_is_name(word) && (*after_dot || word.kind != DL_WORD_NAME ||
                                          !dl_word_is_reserved(dl_word_text(&r->lexer, word)));
    if (dot && r->part_count > 0 && !*after_dot) {
        *after_dot = true;
        return;
    }
    if (!name) {
        r->part_count = 0;
    } else if (*after_dot && r->part_count < NAME_PARTS) {
        r->parts[r->part_count++] = word;
    } else {
        r->parts[0] = word;
        r->part_count = 1;
    }
    *after_dot = false;
}

static dl_status take_spelling(reader *r, dl_word word, bool *out_taken)
{
    dl_str text = DL_STR_NONE;
    size_t end = 0;
    if (!dl_dialect_rename(&r->lexer, word, r->before, &text, &end)) {
        return DL_OK;
    }
    bool type = r->before == DL_BEFORE_AS || r->before == DL_BEFORE_TYPE;
    *out_taken = true;
    r->lexer.pos = end;
    r->part_count = 0;
    r->before = type ? DL_BEFORE_OPERATOR : DL_BEFORE_ELSE;
    return replace(r, word.at, end, text);
}

/* What the next word may be, seen from this one; `dotted`: it is a part of a name. */
static dl_before before_next(const reader *r, dl_word word, bool dotted)
{
    bool keyword = word.kind == DL_WORD_NAME && dl_word_is_reserved(dl_word_text(&r->lexer, word));
    if (word.kind == DL_WORD_SYMBOL) {
        bool ends =
            dl_word_is_symbol(&r->lexer, word, ")") || dl_word_is_symbol(&r->lexer, word, "]");
        return dl_word_is_symbol(&r->lexer, word, "::")  ? DL_BEFORE_TYPE
               : dl_word_is_symbol(&r->lexer, word, "*") ? DL_BEFORE_STAR
               : ends                                    ? DL_BEFORE_OPERATOR
                                                         : DL_BEFORE_ELSE;
    }
    if (dl_word_is(&r->lexer, word, "AS")) {
        return DL_BEFORE_AS;
    }
    return !keyword || dotted || dl_word_is(&r->lexer, word, "END") ? DL_BEFORE_OPERATOR
                                                                    : DL_BEFORE_ELSE;
}

static dl_status take_word(reader *r, dl_word word, bool *out_taken)
{
    *r->at = word.at;
    if (word.kind == DL_WORD_OPEN) {
        return dl_error_set(r->err, DL_E_INVALID, "a quote or comment that begins here has no end");
    }
    if (word.kind == DL_WORD_NAME) {
        DL_TRY(dl_dialect_refuse(&r->lexer, word, r->before, r->err));
        DL_TRY(take_travel(r, word, out_taken));
        return *out_taken ? DL_OK : take_spelling(r, word, out_taken);
    }
    if (dl_word_is_symbol(&r->lexer, word, "@")) {
        return take_short_travel(r, word, out_taken);
    }
    if (dl_word_is_symbol(&r->lexer, word, "<=>")) {
        return replace(r, word.at, word.end, DL_STR(" IS NOT DISTINCT FROM "));
    }
    return word.kind == DL_WORD_BACK ? replace_back_quotes(r, word) : DL_OK;
}

static dl_status take_rest_empty(reader *r)
{
    for (dl_word word = dl_lexer_next(&r->lexer); word.kind != DL_WORD_END;
         word = dl_lexer_next(&r->lexer)) {
        if (!dl_word_is_symbol(&r->lexer, word, ";")) {
            *r->at = word.at;
            dl_status status = dl_error_set(r->err, DL_E_DENIED, "a second statement begins here");
            dl_error_hint(r->err, "give one statement at a time");
            return status;
        }
    }
    return DL_OK;
}

static dl_status take_words(reader *r)
{
    bool after_dot = false;
    for (;;) {
        dl_word word = dl_lexer_next(&r->lexer);
        bool taken = false;
        if (word.kind == DL_WORD_END || dl_word_is_symbol(&r->lexer, word, ";")) {
            DL_TRY(copy_up_to(r, word.at));
            DL_TRY(add_piece(r, word.at)); /* places beyond are none */
            return word.kind == DL_WORD_END ? DL_OK : take_rest_empty(r);
        }
        DL_TRY(take_word(r, word, &taken));
        if (taken) {
            after_dot = false;
        } else {
            r->before = before_next(r, word, after_dot);
            follow_name(r, word, &after_dot);
        }
    }
}

static dl_status copy_items(reader *r, const dl_buf *items, size_t size, const void **out_items)
{
    void *copy = dl_arena_alloc(r->arena, items->len / size + 1, size);
    if (copy == NULL) {
        return dl_arena_full(r->arena, r->err);
    }
    if (items->len > 0) {
        memcpy(copy, items->ptr, items->len);
    }
    *out_items = copy;
    return DL_OK;
}

static dl_status read_question(reader *r, dl_dialect *out)
{
    const void *pieces = NULL, *travels = NULL;
    r->copied = look(r->lexer).at;
    DL_TRY(take_words(r));
    DL_TRY(dl_arena_copy(r->arena, dl_buf_str(&r->sql), &out->sql, r->err));
    DL_TRY(copy_items(r, &r->pieces, sizeof(dl_dialect_piece), &pieces));
    DL_TRY(copy_items(r, &r->travels, sizeof(dl_dialect_travel), &travels));
    out->pieces = pieces;
    out->piece_count = r->pieces.len / sizeof(dl_dialect_piece);
    out->travels = travels;
    out->travel_count = r->travels.len / sizeof(dl_dialect_travel);
    return DL_OK;
}

dl_status dl_dialect_read(dl_str statement, dl_arena *arena, dl_dialect *out, size_t *out_at,
                          dl_error *err)
{
    size_t at = SIZE_MAX;
    dl_dialect result = {.kind = DL_DIALECT_EMPTY};
    reader r = {.lexer = {statement, 0}, .arena = arena, .at = &at, .err = err};
    dl_status status = DL_OK;
    dl_buf_init(&r.sql, (size_t)DL_QUERY_STATEMENT_LIMIT_BYTES * OUTPUT_FACTOR);
    dl_buf_init(&r.pieces, SIZE_MAX / 2);
    dl_buf_init(&r.travels, SIZE_MAX / 2);
    if (statement.len > DL_QUERY_STATEMENT_LIMIT_BYTES) {
        status = dl_error_set(err, DL_E_LIMIT, "the statement has %zu bytes; %d are possible",
                              statement.len, DL_QUERY_STATEMENT_LIMIT_BYTES);
    } else if (!dl_str_is_utf8(statement) || dl_str_find(statement, '\0') >= 0) {
        status = dl_error_set(err, DL_E_INVALID, "the statement is not UTF-8 text");
    } else {
        status = dl_dialect_open(&r.lexer, arena, &result, &at, err);
    }
    if (status == DL_OK &&
        (result.kind == DL_DIALECT_SELECT || result.kind == DL_DIALECT_EXPLAIN)) {
        status = read_question(&r, &result);
    }
    dl_buf_clear(&r.sql);
    dl_buf_clear(&r.pieces);
    dl_buf_clear(&r.travels);
    if (status == DL_OK) {
        *out = result;
    } else if (out_at != NULL) {
        *out_at = at;
    }
    return status;
}

size_t dl_dialect_source(const dl_dialect *dialect, size_t to)
{
    size_t low = 0, high = dialect->piece_count; /* the last piece that begins at `to` or before */
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (dialect->pieces[middle].to <= to) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    if (low == 0) {
        return dialect->piece_count > 0 ? dialect->pieces[0].from : to;
    }
    const dl_dialect_piece *piece = &dialect->pieces[low - 1];
    size_t at = piece->from + (to - piece->to);
    if (low < dialect->piece_count && at >= piece[1].from) {
        at = piece[1].from > piece->from ? piece[1].from - 1 : piece->from;
    }
    return at;
}
