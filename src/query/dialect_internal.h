/**
 * What the files of the dialect share: words of SQL one after the other, and the text that grows
 * from them.
 */
#ifndef DL_QUERY_DIALECT_INTERNAL_H
#define DL_QUERY_DIALECT_INTERNAL_H

#include "query/internal.h"

typedef enum dl_word_kind {
    DL_WORD_END,
    DL_WORD_NAME,   /* a bare word: name or keyword */
    DL_WORD_QUOTED, /* "name" */
    DL_WORD_BACK,   /* `name` */
    DL_WORD_TEXT,   /* '...', E'...', $$...$$ */
    DL_WORD_NUMBER,
    DL_WORD_SYMBOL, /* an operator, a bracket, a comma */
    DL_WORD_OPEN,   /* a quote or comment without an end, to the end of the text */
} dl_word_kind;

typedef struct dl_word {
    dl_word_kind kind;
    size_t at, end; /* bytes of the text */
} dl_word;

/** Words of a text; spaces and comments lie between them. Copy it to look ahead. */
typedef struct dl_lexer {
    dl_str text;
    size_t pos;
} dl_lexer;

/** The next word; DL_WORD_END at the end, again and again. Every other one has at least a byte. */
dl_word dl_lexer_next(dl_lexer *lexer);
static inline dl_str dl_word_text(const dl_lexer *lexer, dl_word word)
{
    return dl_str_slice(lexer->text, word.at, word.end - word.at);
}
/** Whether a bare word is `keyword` (upper case), without regard to case. */
bool dl_word_is(const dl_lexer *lexer, dl_word word, const char *keyword);
bool dl_word_is_symbol(const dl_lexer *lexer, dl_word word, const char *symbol);
/** A word that may name something: bare or quoted. */
static inline bool dl_word_is_name(dl_word word)
{
    return word.kind == DL_WORD_NAME || word.kind == DL_WORD_QUOTED || word.kind == DL_WORD_BACK;
}
/** Whether a bare word cannot stand for a name where an alias could (FROM, WHERE, JOIN, ...). */
bool dl_word_is_reserved(dl_str word);
/** A name without its quotes, a text without its quotes and doubled ones ('...' only: others are
 * DL_E_INVALID). */
DL_NODISCARD dl_status dl_word_unquote(const dl_lexer *lexer, dl_word word, dl_arena *arena,
                                       dl_str *out_text, dl_error *err);

/** A date, with a time or without, with a zone or without (then UTC), as TIMESTAMP AS OF takes it.
 */
bool dl_dialect_time(dl_str text, int64_t *out_us);

/** What the first words of a statement make it, and where the question begins. Errors: DL_E_DENIED,
 * DL_E_UNSUPPORTED, DL_E_INVALID, with `out_at`. */
DL_NODISCARD dl_status dl_dialect_open(dl_lexer *lexer, dl_arena *arena, dl_dialect *out,
                                       size_t *out_at, dl_error *err);
/** What the words before a word make of its place. */
typedef enum dl_before {
    DL_BEFORE_ELSE,
    DL_BEFORE_OPERATOR, /* an operand has ended: an operator may follow */
    DL_BEFORE_AS,       /* a type or an alias follows */
    DL_BEFORE_TYPE,     /* :: */
    DL_BEFORE_STAR,     /* all columns, or times */
} dl_before;

/** Words of Spark that have an equal of another spelling: false when `word` is none. What is
 * replaced ends at `out_end`. `lexer` stands behind `word`. */
bool dl_dialect_rename(const dl_lexer *lexer, dl_word word, dl_before before, dl_str *out_text,
                       size_t *out_end);

/** Words of Spark that have no equal: DL_E_UNSUPPORTED with what to write instead. `lexer` stands
 * behind `word`. */
DL_NODISCARD dl_status dl_dialect_refuse(const dl_lexer *lexer, dl_word word, dl_before before,
                                         dl_error *err);

#endif
