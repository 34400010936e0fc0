/*
 * What the reader makes of files, for the comparisons in this folder.
 *
 *     dump json FILE...     one line per file: its DICOM JSON, or `error STATUS: MESSAGE`
 *     dump facts FILE...    one line of JSON per file: header facts, frames, findings
 *     dump verdict FILE...  one line per file: what the store service would do with it
 *     dump time COUNT FILE  reads per second, opening the file each time; `timev`: with validation
 */
#include "base/clock.h"
#include "base/file.h"
#include "dicom/dicom.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

enum { ARENA_BYTES = 64 << 20 };

typedef struct reading {
    dl_dicom_reader *reader;
    dl_buf *json;
} reading;

static dl_status read_file(reading *what, const char *path, dl_arena *arena,
                           dl_dicom_header *out_header, dl_error *err)
{
    DL_AUTO_FD fd = -1;
    struct stat st;
    DL_TRY(dl_file_open(path, O_RDONLY, 0, &fd, err));
    if (fstat(fd, &st) != 0) {
        return dl_error_set(err, DL_E_IO, "no size");
    }
    dl_dicom_file file = {.fd = fd, .size = (uint64_t)st.st_size};
    dl_dicom_source source = dl_dicom_source_file(&file);
    if (what->json != NULL) {
        dl_buf_reset(what->json);
    }
    return dl_dicom_read(what->reader, &source, arena, what->json, out_header, err);
}

static void print_string(dl_str text)
{
    putchar('"');
    for (size_t i = 0; i < text.len; i++) {
        unsigned char c = (unsigned char)text.ptr[i];
        if (c < 0x20 || c == '"' || c == '\\') {
            printf("\\u%04x", c);
        } else {
            putchar(c);
        }
    }
    putchar('"');
}

static const char *truth(bool value)
{
    return value ? "true" : "false";
}

static void print_frames(const dl_dicom_pixels *p, dl_arena *arena)
{
    printf(",\"frames\":[");
    for (uint32_t number = 1; number <= p->frame_count && p->indexed; number++) {
        dl_dicom_fragment *pieces = NULL;
        size_t count = 0;
        if (dl_dicom_frame(p, number, arena, &pieces, &count, NULL) != DL_OK) {
            printf("%snull", number > 1 ? "," : "");
            continue;
        }
        printf("%s[", number > 1 ? "," : "");
        for (size_t i = 0; i < count; i++) {
            printf("%s[%" PRIu64 ",%" PRIu64 "]", i > 0 ? "," : "", pieces[i].offset_bytes,
                   pieces[i].length_bytes);
        }
        printf("]");
    }
    printf("]");
}

static void print_findings(const dl_dicom_header *h)
{
    printf(",\"findings\":[");
    for (size_t i = 0; i < h->finding_count; i++) {
        printf("%s{\"tag\":\"%08X\",\"depth\":%u,\"reason\":", i > 0 ? "," : "", h->findings[i].tag,
               h->findings[i].depth);
        print_string(h->findings[i].reason.value);
        printf("}");
    }
    printf("]");
}

static void print_facts(const dl_dicom_header *h, dl_arena *arena)
{
    printf("{\"preamble\":%s,\"meta\":%s,\"implicit\":%s,\"big_endian\":%s,\"deflated\":%s",
           truth(h->has_preamble), truth(h->has_meta), truth(h->implicit_vr), truth(h->big_endian),
           truth(h->deflated));
    printf(",\"syntax\":");
    print_string(h->transfer_syntax_uid);
    printf(",\"truncated\":%s,\"core\":[", truth(h->truncated_pixels));
    for (int i = 0; i < DL_DICOM_CORE_COUNT; i++) {
        const dl_dicom_core_value *c = &h->core[i];
        printf("%s{\"present\":%s,\"count\":%zu,\"first\":", i > 0 ? "," : "", truth(c->present),
               c->value_count);
        print_string(c->first);
        printf("}");
    }
    const dl_dicom_pixels *p = &h->pixels;
    printf("],\"pixels\":%s,\"encapsulated\":%s,\"indexed\":%s,\"frame_count\":%u",
           truth(p->present), truth(p->encapsulated), truth(p->indexed), p->frame_count);
    print_frames(p, arena);
    print_findings(h);
    printf("}\n");
}

/** Contract 5.4, steps 1 to 4; NULL when the instance can be stored. */
static const char *refusal(const dl_dicom_header *h)
{
    static const char *const names[DL_DICOM_CORE_COUNT] = {
        "SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID", "PatientID"};
    if (!h->has_preamble || !h->has_meta) {
        return h->has_preamble ? "no file meta information" : "no preamble";
    }
    for (int i = 0; i < DL_DICOM_CORE_COUNT; i++) {
        const dl_dicom_core_value *c = &h->core[i];
        bool is_uid = i != DL_DICOM_PATIENT_ID;
        bool fine = c->present && c->vr == (is_uid ? DL_VR('U', 'I') : DL_VR('L', 'O')) &&
                    (!is_uid || (c->value_count == 1 && dl_dicom_uid_is_valid(c->first)));
        if (!fine) {
            return names[i];
        }
    }
    return NULL;
}

static void print_verdict(const dl_dicom_header *h)
{
    const char *why = refusal(h);
    if (why != NULL) {
        printf("refused\t%s\n", why);
        return;
    }
    bool blank = h->core[DL_DICOM_PATIENT_ID].value_count == 0;
    bool warns = h->finding_count > 0 || h->implicit_vr || blank || h->truncated_pixels;
    printf("%s\t%s%s", warns ? "warnings" : "stored", h->implicit_vr ? "implicit " : "",
           blank ? "no-patient-id " : "");
    for (size_t i = 0; i < h->finding_count; i++) {
        printf("%s%08X", i > 0 ? "," : "", h->findings[i].tag);
    }
    printf("%s\n", h->truncated_pixels ? " truncated" : "");
}

static int run_files(const char *mode, reading *what, char **paths)
{
    for (; *paths != NULL; paths++) {
        DL_AUTO(dl_arena) arena = dl_arena_create(ARENA_BYTES);
        dl_dicom_header header = {0};
        dl_error err = {0};
        dl_status status = read_file(what, *paths, arena, &header, &err);
        if (status != DL_OK) {
            printf("%s %s: %s\n", strcmp(mode, "verdict") == 0 ? "refused\tunreadable" : "error",
                   dl_status_name(status), err.message);
        } else if (strcmp(mode, "json") == 0) {
            printf("%.*s\n", DL_STR_ARG(dl_buf_str(what->json)));
        } else if (strcmp(mode, "facts") == 0) {
            print_facts(&header, arena);
        } else {
            print_verdict(&header);
        }
    }
    return 0;
}

static int run_timing(reading *what, uint64_t count, const char *path)
{
    int64_t start = dl_clock_monotonic_us();
    for (uint64_t i = 0; i < count; i++) {
        DL_AUTO(dl_arena) arena = dl_arena_create(ARENA_BYTES);
        dl_dicom_header header = {0};
        dl_error err = {0};
        if (read_file(what, path, arena, &header, &err) != DL_OK) {
            printf("error: %s\n", err.message);
            return 1;
        }
    }
    int64_t took = dl_clock_monotonic_us() - start;
    printf("%" PRIu64 " reads in %" PRId64 " us: %.0f/s, %zu bytes of JSON\n", count, took,
           (double)count * 1e6 / (double)took, what->json->len);
    return 0;
}

int main(int argc, char **argv)
{
    if (argc < 3) {
        fprintf(stderr, "usage: dump json|facts|verdict FILE... | time|timev COUNT FILE\n");
        return 2;
    }
    const char *mode = argv[1];
    bool validate = strcmp(mode, "json") != 0 && strcmp(mode, "time") != 0;
    dl_dicom_options options = {.validate = validate};
    DL_AUTO(dl_dicom_reader) reader = dl_dicom_reader_create(&options);
    DL_AUTO_BUF json = {0};
    dl_buf_init(&json, DL_DICOM_JSON_LIMIT_BYTES);
    reading what = {reader, &json};
    uint64_t count = 0;
    if (strncmp(mode, "time", 4) == 0) {
        return argc == 4 && dl_str_to_u64(dl_str_of(argv[2]), &count)
                   ? run_timing(&what, count, argv[3])
                   : 2;
    }
    return run_files(mode, &what, argv + 2);
}
