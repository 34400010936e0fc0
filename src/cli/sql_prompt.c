/* dicomlake sql on a terminal: statements of a person, a line at a time, by libedit. */
#include "base/ckd.h"
#include "base/file.h"
#include "base/mem.h"
#include "cli/sql.h"
#include "cli/table.h"

#include <errno.h>
#include <fcntl.h>
#include <histedit.h>
#include <locale.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <unistd.h>
#include <wchar.h>

#define HISTORY_LIMIT_BYTES ((size_t)1 << 20)
enum { HISTORY_LINES = 1000, PATH_SIZE = 4096, COMPLETE_ARENA_BYTES = 16 << 20 };
enum { CTRL_D = 4, LOOK_MS = 1000 };

struct dl_cli_sql_prompt {
    dl_cli_sql *sql;
    EditLine *edit;
    History *history;
    dl_buf statement; /* the lines so far */
    int history_fd;   /* what is asked goes to its end; -1: nowhere */
    int end_fd;       /* SIGTERM and SIGHUP arrive here */
    int typed_ahead;  /* bytes that came before the terminal was ours */
    bool ended;
    mbstate_t state;
};

/* ---- history: a statement a line, line feeds and backslashes escaped ---- */

static void remember(dl_cli_sql_prompt *p, const char *statement)
{
    HistEvent event;
    (void)history(p->history, &event, H_ENTER, statement);
}

static dl_status unescape(dl_str line, dl_buf *out)
{
    for (size_t i = 0; i < line.len; i++) {
        char c = line.ptr[i];
        if (c == '\\' && i + 1 < line.len) {
            i++;
            c = line.ptr[i] == 'n' ? '\n' : line.ptr[i];
        }
        DL_TRY(dl_buf_append_char(out, c, NULL));
    }
    return dl_buf_terminate(out, NULL);
}

/** The last lines of a file that has grown too long begin at its second half. */
static dl_str newest(dl_str all)
{
    if (all.len < HISTORY_LIMIT_BYTES / 2) {
        return all;
    }
    dl_str half = dl_str_slice(all, all.len / 2, all.len);
    ptrdiff_t line = dl_str_find(half, '\n');
    return line < 0 ? DL_STR_NONE : dl_str_slice(half, (size_t)line + 1, half.len);
}

static void load_history(dl_cli_sql_prompt *p, const char *path)
{
    DL_AUTO_BUF file = {0};
    DL_AUTO_BUF text = {0};
    dl_buf_init(&file, HISTORY_LIMIT_BYTES);
    dl_buf_init(&text, HISTORY_LIMIT_BYTES);
    struct stat info;
    if (stat(path, &info) != 0 || !S_ISREG(info.st_mode)) {
        return;
    }
    dl_str rest = DL_STR_NONE;
    if (dl_file_read_all(path, &file, NULL) == DL_OK) {
        rest = newest(dl_buf_str(&file));
    }
    if (rest.len != (size_t)info.st_size && /* shortened: written anew, or left as it is */
        dl_file_replace(path, rest, NULL) != DL_OK) {
        return;
    }
    dl_str line = DL_STR_NONE;
    while (dl_str_next(&rest, '\n', &line)) {
        dl_buf_reset(&text);
        if (line.len > 0 && unescape(line, &text) == DL_OK) {
            remember(p, text.ptr);
        }
    }
}

static void open_history(dl_cli_sql_prompt *p)
{
    char path[PATH_SIZE];
    HistEvent event;
    (void)history(p->history, &event, H_SETSIZE, HISTORY_LINES);
    (void)history(p->history, &event, H_SETUNIQUE, 1);
    if (p->sql->home == NULL ||
        (size_t)snprintf(path, sizeof path, "%s/state", p->sql->home) >= sizeof path - 16 ||
        access(path, W_OK) != 0) {
        return;
    }
    (void)snprintf(path, sizeof path, "%s/state/sql_history", p->sql->home);
    load_history(p, path);
    if (dl_file_open(path, O_WRONLY | O_CREAT | O_APPEND | O_NOFOLLOW, 0600, &p->history_fd,
                     NULL) == DL_OK) {
        (void)fchmod(p->history_fd, 0600); /* statements may name patients */
    }
}

static void keep(dl_cli_sql_prompt *p, dl_str statement)
{
    DL_AUTO_BUF line = {0};
    dl_buf_init(&line, (size_t)2 * DL_QUERY_STATEMENT_LIMIT_BYTES + 2);
    dl_status status = DL_OK;
    for (size_t i = 0; i < statement.len && status == DL_OK; i++) {
        char c = statement.ptr[i];
        status = c == '\n'   ? dl_buf_append_str(&line, DL_STR("\\n"), NULL)
                 : c == '\\' ? dl_buf_append_str(&line, DL_STR("\\\\"), NULL)
                             : dl_buf_append_char(&line, c, NULL);
    }
    if (p->history_fd < 0 || status != DL_OK || dl_buf_append_char(&line, '\n', NULL) != DL_OK) {
        return;
    }
    if (dl_file_write_all(p->history_fd, line.ptr, line.len, NULL) != DL_OK) {
        dl_file_close(&p->history_fd); /* a full disk: asking goes on without it */
    }
}

/* ---- reading ---- */

static dl_cli_sql_prompt *prompt_of(EditLine *edit)
{
    void *p = NULL;
    (void)el_get(edit, EL_CLIENTDATA, &p);
    return p;
}

/** Makes the terminal ours before the prompt is seen; libedit would do so only behind it. */
static void take_terminal(dl_cli_sql_prompt *p)
{
    (void)el_set(p->edit, EL_PREP_TERM, 1);
    if (ioctl(STDIN_FILENO, FIONREAD, &p->typed_ahead) != 0) {
        p->typed_ahead = 0;
    }
}

/** Ctrl-D: what came while the terminal had lines holds a NUL in its place. */
static char as_typed(dl_cli_sql_prompt *p, char byte)
{
    bool ahead = p->typed_ahead > 0;
    p->typed_ahead -= ahead;
    return ahead && byte == '\0' ? CTRL_D : byte;
}

/** A character: libedit's own would not end at Ctrl-C or SIGTERM. */
static int read_character(EditLine *edit, wchar_t *out)
{
    dl_cli_sql_prompt *p = prompt_of(edit);
    for (;;) {
        struct pollfd look[] = {{.fd = STDIN_FILENO, .events = POLLIN},
                                {.fd = p->end_fd, .events = POLLIN}};
        if (dl_cancel_asked(p->sql->cli->stop)) {
            return -1;
        }
        if (poll(look, DL_COUNT_OF(look), LOOK_MS) <= 0) {
            continue; /* a signal, perhaps one that came just before: the loop looks */
        }
        char byte = 0;
        p->ended = p->ended || look[1].revents != 0;
        if (p->ended || read(STDIN_FILENO, &byte, 1) <= 0) {
            return 0;
        }
        byte = as_typed(p, byte);
        size_t n = mbrtowc(out, &byte, 1, &p->state); // NOLINT(concurrency-mt-unsafe): own state
        if (n == (size_t)-1) {                        /* not UTF-8: passed over */
            p->state = (mbstate_t){0};
        } else if (n != (size_t)-2) {
            return 1;
        }
    }
}

static const char *prompt_text(EditLine *edit)
{
    return prompt_of(edit)->statement.len == 0 ? "sql> " : "...> ";
}

/* ---- completion ---- */

static void list_words(dl_cli_sql_prompt *p, const dl_str *words, size_t count)
{
    FILE *out = p->sql->cli->out;
    (void)fputc('\n', out);
    for (size_t i = 0; i < count && i < 60; i++) {
        (void)fprintf(out, "%.*s%s", DL_STR_ARG(words[i]), i + 1 < count ? "  " : "");
    }
    (void)fprintf(out, "%s\n", count > 60 ? "..." : "");
    (void)fflush(out);
}

/** What all words begin with, beyond the `have` bytes that stand there. */
static size_t common_length(const dl_str *words, size_t count)
{
    size_t len = words[0].len;
    for (size_t i = 1; i < count; i++) {
        size_t k = 0;
        while (k < len && k < words[i].len && (words[0].ptr[k] | 32) == (words[i].ptr[k] | 32)) {
            k++;
        }
        len = k;
    }
    while (len > 0 && len < words[0].len && ((unsigned char)words[0].ptr[len] & 0xc0) == 0x80) {
        len--; /* not in the middle of a code point */
    }
    return len;
}

static unsigned char put_words(dl_cli_sql_prompt *p, const dl_str *words, size_t count,
                               size_t typed)
{
    char text[1024];
    size_t len = common_length(words, count);
    bool whole = count == 1;
    if (len < typed || (len == typed && !whole) ||
        (size_t)snprintf(text, sizeof text, "%.*s%s", (int)len, words[0].ptr, whole ? " " : "") >=
            sizeof text) {
        list_words(p, words, count);
        return CC_REDISPLAY;
    }
    el_deletestr(p->edit, (int)typed);
    return el_insertstr(p->edit, text) == 0 ? CC_REFRESH : CC_ERROR;
}

static unsigned char complete(EditLine *edit, DL_UNUSED int key)
{
    dl_cli_sql_prompt *p = prompt_of(edit);
    const LineInfo *line = el_line(edit);
    DL_AUTO_BUF text = {0};
    DL_AUTO(dl_arena) arena = dl_arena_create(COMPLETE_ARENA_BYTES);
    dl_buf_init(&text, (size_t)2 * DL_QUERY_STATEMENT_LIMIT_BYTES);
    dl_str *words = NULL;
    size_t count = 0;
    size_t from = 0;
    if (arena == NULL || dl_buf_append_str(&text, dl_buf_str(&p->statement), NULL) != DL_OK ||
        dl_buf_append(&text, line->buffer, (size_t)(line->lastchar - line->buffer), NULL) !=
            DL_OK) {
        return CC_ERROR;
    }
    size_t at = p->statement.len + (size_t)(line->cursor - line->buffer);
    if (dl_query_complete(p->sql->query, dl_buf_str(&text), at, arena, &words, &count, &from,
                          NULL) != DL_OK ||
        count == 0 || from < p->statement.len) {
        return CC_ERROR;
    }
    return put_words(p, words, count, at - from);
}

/* ---- commands ---- */

static dl_status describe(dl_cli_sql_prompt *p, dl_str table, dl_error *err)
{
    static const dl_cli_column columns[] = {
        {"COLUMN", false, 0}, {"TYPE", false, 60}, {"ATTRIBUTE", false, 0}, {"TAG", false, 0}};
    DL_AUTO(dl_cli_table) shown = NULL;
    DL_AUTO(dl_arena) arena = dl_arena_create(COMPLETE_ARENA_BYTES);
    if (arena == NULL) {
        return dl_error_set(err, DL_E_NOMEM, "sql: out of memory");
    }
    dl_query_field *fields = NULL;
    size_t count = 0;
    DL_TRY(dl_query_fields(p->sql->query, table, arena, &fields, &count, err));
    DL_TRY(dl_cli_table_create(columns, DL_COUNT_OF(columns), &shown, err));
    for (size_t i = 0; i < count; i++) {
        const dl_str cells[] = {fields[i].name, fields[i].type, fields[i].attribute, fields[i].tag};
        DL_TRY(dl_cli_table_add(shown, cells, err));
    }
    return dl_cli_table_print(shown, p->sql->cli->out, err);
}

static dl_status set_format(dl_cli_sql_prompt *p, dl_str name, dl_error *err)
{
    char text[32];
    dl_query_format format = DL_QUERY_TABLE;
    if (!dl_str_copy(name, text, sizeof text)) {
        text[0] = '\0';
    }
    DL_TRY(dl_query_format_of(text, &format, err));
    if (format == DL_QUERY_ARROW || format == DL_QUERY_PARQUET) {
        return dl_error_set(err, DL_E_INVALID, "%s is not written to a screen", text);
    }
    p->sql->format = format;
    return DL_OK;
}

static void print_commands(FILE *out)
{
    (void)fputs("statements end with ; and may have several lines; Tab completes names\n"
                "\\d            tables\n"
                "\\d TABLE      columns of a table\n"
                "\\format NAME  table, csv, json, jsonl, markdown, html\n"
                "\\timing       tell how long statements take, or no longer\n"
                "\\q            end (Ctrl-D too); Ctrl-C drops a line or cancels a statement\n",
                out);
}

static dl_status run_command(dl_cli_sql_prompt *p, dl_str line, dl_error *err)
{
    dl_str rest = line;
    dl_str word = DL_STR_NONE;
    (void)dl_str_next(&rest, ' ', &word);
    rest = dl_str_trim(rest);
    dl_cli_sql *sql = p->sql;
    sql->statements = 0;
    if (dl_str_eq(word, DL_STR("\\q"))) {
        p->ended = true;
    } else if (dl_str_eq(word, DL_STR("\\?"))) {
        print_commands(sql->cli->out);
    } else if (dl_str_eq(word, DL_STR("\\timing"))) {
        sql->timing = !sql->timing;
        (void)fprintf(sql->cli->out, "timing is %s\n", sql->timing ? "on" : "off");
    } else if (dl_str_eq(word, DL_STR("\\format"))) {
        return set_format(p, rest, err);
    } else if (dl_str_eq(word, DL_STR("\\d")) && rest.len > 0) {
        return describe(p, rest, err);
    } else if (dl_str_eq(word, DL_STR("\\d"))) {
        dl_query_place place = {.at = SIZE_MAX};
        return dl_cli_sql_statement(sql, DL_STR("SHOW TABLES"), DL_STR("SHOW TABLES"), &place, err);
    } else {
        (void)dl_error_set(err, DL_E_INVALID, "no command %.*s",
                           DL_STR_ARG(dl_str_slice(word, 0, 40)));
        dl_error_hint(err, "\\? lists them");
        return DL_E_INVALID;
    }
    return DL_OK;
}

/* ---- asking ---- */

/** Ctrl-C was meant for what is under way, not for the prompt. */
static void forget_wishes(dl_cli_sql_prompt *p)
{
    atomic_store_explicit(&p->sql->cli->stop->asked, false, memory_order_relaxed);
    atomic_store_explicit(&p->sql->cli->abort->asked, false, memory_order_relaxed);
}

static void run_statements(dl_cli_sql_prompt *p)
{
    dl_str script = dl_buf_str(&p->statement);
    dl_str rest = script;
    dl_str statement = DL_STR_NONE;
    dl_status status = DL_OK;
    p->sql->statements = 0;
    while (status == DL_OK && dl_query_next_statement(&rest, &statement)) {
        dl_error err = {0};
        dl_query_place place = {.at = SIZE_MAX};
        status = dl_cli_sql_statement(p->sql, script, statement, &place, &err);
        if (status != DL_OK) {
            (void)dl_cli_sql_fail(p->sql, script, &place, &err);
        }
    }
}

static void take_line(dl_cli_sql_prompt *p, dl_str line)
{
    dl_error err = {0};
    dl_str word = dl_str_trim(dl_str_slice(line, 0, line.len - (line.len > 0)));
    const dl_query_place nowhere = {.at = SIZE_MAX};
    bool first = p->statement.len == 0;
    if (first &&
        (dl_str_eq_nocase(word, DL_STR("quit")) || dl_str_eq_nocase(word, DL_STR("exit")))) {
        p->ended = true;
        return;
    }
    if (first && word.len == 0) {
        return;
    }
    if (first && word.ptr[0] == '\\') {
        if (run_command(p, word, &err) != DL_OK) {
            (void)dl_cli_sql_fail(p->sql, word, &nowhere, &err);
        }
        return;
    }
    if (dl_buf_append_str(&p->statement, line, &err) != DL_OK) {
        (void)dl_cli_sql_fail(p->sql, word, &nowhere, &err);
        dl_buf_reset(&p->statement);
        return;
    }
    if (dl_query_is_open(dl_buf_str(&p->statement))) {
        return;
    }
    dl_str whole = dl_str_trim(dl_str_slice(dl_buf_str(&p->statement), 0, p->statement.len - 1));
    DL_AUTO_BUF copy = {0};
    dl_buf_init(&copy, (size_t)2 * DL_QUERY_STATEMENT_LIMIT_BYTES);
    if (dl_buf_append_str(&copy, whole, NULL) == DL_OK && dl_buf_terminate(&copy, NULL) == DL_OK) {
        remember(p, copy.ptr);
        keep(p, whole);
    }
    run_statements(p);
    dl_buf_reset(&p->statement);
}

static void ask(dl_cli_sql_prompt *p)
{
    while (!p->ended) {
        int len = 0;
        take_terminal(p);
        const char *line = el_gets(p->edit, &len);
        if (dl_cancel_asked(p->sql->cli->stop)) { /* Ctrl-C: begin anew */
            (void)fputs("^C\n", p->sql->cli->out);
            dl_buf_reset(&p->statement);
            forget_wishes(p);
        } else if (line == NULL || len <= 0) {
            (void)fputc('\n', p->sql->cli->out);
            return;
        } else {
            take_line(p, (dl_str){line, (size_t)len});
            forget_wishes(p);
        }
        (void)fflush(p->sql->cli->out);
    }
}

/* ---- opening ---- */

dl_status dl_cli_sql_prompt_open(dl_cli_sql *sql, dl_cli_sql_prompt **out_prompt, dl_error *err)
{
    DL_AUTO(dl_cli_sql_prompt) p = dl_mem_zalloc(1, sizeof *p);
    if (p == NULL) {
        return dl_error_set(err, DL_E_NOMEM, "sql: out of memory");
    }
    p->sql = sql;
    p->history_fd = -1;
    p->end_fd = -1;
    dl_buf_init(&p->statement, DL_QUERY_STATEMENT_LIMIT_BYTES);
    /* Of the line's characters; numbers stay as they are. No other thread runs yet. */
    (void)setlocale(LC_CTYPE, "C.UTF-8"); // NOLINT(concurrency-mt-unsafe)
    sigset_t ends;
    (void)sigemptyset(&ends);
    (void)sigaddset(&ends, SIGTERM);
    (void)sigaddset(&ends, SIGHUP);
    (void)pthread_sigmask(SIG_BLOCK, &ends, NULL); /* engine threads inherit it */
    p->end_fd = signalfd(-1, &ends, SFD_CLOEXEC | SFD_NONBLOCK);
    p->history = history_init();
    p->edit = el_init("dicomlake", stdin, sql->cli->out, sql->cli->err);
    if (p->end_fd < 0 || p->history == NULL || p->edit == NULL) {
        return dl_error_set(err, DL_E_NOMEM, "sql: no prompt on this terminal");
    }
    (void)el_set(p->edit, EL_CLIENTDATA, p);
    (void)el_set(p->edit, EL_PROMPT, prompt_text);
    (void)el_set(p->edit, EL_EDITOR, "emacs");
    (void)el_set(p->edit, EL_HIST, history, p->history);
    (void)el_set(p->edit, EL_GETCFN, read_character);
    (void)el_set(p->edit, EL_ADDFN, "dl-complete", "complete names", complete);
    (void)el_set(p->edit, EL_BIND, "^I", "dl-complete", NULL);
    (void)el_set(p->edit, EL_BIND, "^R", "em-inc-search-prev", NULL);
    open_history(p);
    *out_prompt = DL_STEAL(p);
    return DL_OK;
}

void dl_cli_sql_prompt_destroy(dl_cli_sql_prompt *p)
{
    if (p == NULL) {
        return;
    }
    if (p->edit != NULL) {
        el_end(p->edit); /* the terminal as it was */
    }
    if (p->history != NULL) {
        history_end(p->history);
    }
    dl_file_close(&p->history_fd);
    dl_file_close(&p->end_fd);
    dl_buf_clear(&p->statement);
    dl_mem_free(p);
}

void dl_cli_sql_prompt_ask(dl_cli_sql_prompt *p)
{
    (void)fputs("dicomlake sql; \\? for help, \\q to end\n", p->sql->cli->out);
    (void)fflush(p->sql->cli->out);
    ask(p);
}
