/* Replays files through a fuzz target as an ordinary test: `fuzz_x [FILE or FOLDER]...`.
 *
 * Each file is a case of its own; so is the empty input. A target that finds something ends the
 * process, and the case that began is then missing. */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);
int LLVMFuzzerInitialize(int *argc, char ***argv) __attribute__((weak));

enum { FILE_LIMIT_BYTES = 16 << 20 };

static int case_count, failed_count;

static void report(int good, const char *what)
{
    case_count++;
    failed_count += !good;
    printf("%sok %d - %s\n", good ? "" : "not ", case_count, what);
    (void)fflush(stdout);
}

/* A block of exactly the file's size, so that a read past its end is seen. */
static void replay_bytes(const uint8_t *bytes, size_t size, const char *name)
{
    uint8_t *exact = malloc(size == 0 ? 1 : size);
    if (exact == NULL) {
        report(0, name);
        return;
    }
    if (size > 0) {
        memcpy(exact, bytes, size);
    }
    int result = LLVMFuzzerTestOneInput(exact, size);
    free(exact);
    report(result == 0 || result == -1, name); /* -1: not wanted in a corpus */
}

static void replay_file(const char *path)
{
    const char *slash = strrchr(path, '/');
    const char *name = slash == NULL ? path : slash + 1;
    FILE *file = fopen(path, "rbe");
    uint8_t *bytes = malloc(FILE_LIMIT_BYTES + 1);
    if (file == NULL || bytes == NULL) {
        report(0, name);
    } else {
        size_t size = fread(bytes, 1, FILE_LIMIT_BYTES + 1, file);
        if (size > FILE_LIMIT_BYTES) {
            printf("# longer than %d bytes\n", FILE_LIMIT_BYTES);
            report(0, name);
        } else {
            replay_bytes(bytes, size, name);
        }
    }
    free(bytes);
    if (file != NULL) {
        (void)fclose(file);
    }
}

static void replay_folder(const char *path)
{
    struct dirent **entries = NULL;
    int count = scandir(path, &entries, NULL, alphasort);
    if (count < 0) {
        report(0, path);
        return;
    }
    for (int i = 0; i < count; i++) {
        char inside[4096];
        (void)snprintf(inside, sizeof inside, "%s/%s", path, entries[i]->d_name);
        if (entries[i]->d_name[0] != '.') {
            replay_file(inside);
        }
        free(entries[i]);
    }
    free(entries);
}

int main(int argc, char **argv)
{
    if (LLVMFuzzerInitialize != NULL) {
        (void)LLVMFuzzerInitialize(&argc, &argv);
    }
    replay_bytes(NULL, 0, "empty input");
    for (int i = 1; i < argc; i++) {
        struct stat about;
        if (stat(argv[i], &about) != 0) {
            report(0, argv[i]);
        } else if (S_ISDIR(about.st_mode)) {
            replay_folder(argv[i]);
        } else {
            replay_file(argv[i]);
        }
    }
    printf("1..%d\n", case_count);
    return failed_count != 0;
}
