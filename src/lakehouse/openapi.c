/* Schemas of what the routes take and give, for the OpenAPI document. */
#include "lakehouse/routes_internal.h"

#define TEXT "{\"type\":\"string\"}"
#define TEXT_OR_NULL "{\"type\":[\"string\",\"null\"]}"
#define TIME "{\"type\":\"string\",\"format\":\"date-time\"}"
#define TIME_OR_NULL "{\"type\":[\"string\",\"null\"],\"format\":\"date-time\"}"
#define COUNT "{\"type\":\"integer\",\"minimum\":0}"
#define COUNT_OR_NULL "{\"type\":[\"integer\",\"null\"],\"minimum\":0}"
#define FLAG "{\"type\":\"boolean\"}"
#define NAME "{\"type\":\"string\",\"pattern\":\"^[A-Za-z0-9_-]{1,140}$\"}"
#define REF(name) "{\"$ref\":\"#/components/schemas/" name "\"}"
#define LIST(item) "{\"type\":\"array\",\"items\":" item "}"
#define EXACTLY(required, members)                                                                 \
    "{\"type\":\"object\",\"additionalProperties\":false,\"required\":[" required                  \
    "],\"properties\":{" members "}}"
#define PAGE(item)                                                                                 \
    EXACTLY("\"value\",\"continuationToken\"",                                                     \
            "\"value\":" LIST(REF(item)) ",\"continuationToken\":" TEXT_OR_NULL)
#define SHORTCUT_REQUIRED "\"path\",\"name\",\"connection\",\"subpath\",\"folder\",\"broken\""
#define SHORTCUT                                                                                   \
    "\"path\":{\"enum\":[\"Tables\",\"Files\"]},\"name\":" TEXT ",\"connection\":" TEXT            \
    ",\"subpath\":" TEXT ",\"folder\":" TEXT                                                       \
    ",\"broken\":{\"oneOf\":[{\"type\":\"null\"}," EXACTLY("\"status\",\"message\",\"hint\"",      \
                                                           "\"status\":" TEXT ",\"message\":" TEXT \
                                                           ",\"hint\":" TEXT) "]}"

/* clang-format off */
static const dl_api_schema schemas[] = {
    {"Problem", "{\"type\":\"object\",\"required\":[\"type\",\"title\",\"status\",\"detail\"],\"properties\":{"
        "\"type\":" TEXT ",\"title\":" TEXT ",\"status\":{\"type\":\"integer\"},\"detail\":" TEXT ",\"hint\":" TEXT
        ",\"at\":" COUNT ",\"line\":{\"type\":\"integer\",\"minimum\":1},\"column\":{\"type\":\"integer\",\"minimum\":1}}}"},
    {"Lakehouse", EXACTLY("\"name\",\"implied\",\"fault\",\"document\"",
        "\"name\":" NAME ",\"implied\":" FLAG ",\"fault\":" TEXT_OR_NULL ",\"document\":{\"type\":[\"object\",\"null\"]}")},
    {"LakehousePage", PAGE("Lakehouse")},
    {"Document", "{\"type\":\"object\",\"properties\":{\"name\":" NAME ",\"description\":" TEXT ",\"shortcuts\":"
        LIST("{\"type\":\"object\",\"required\":[\"path\",\"name\",\"target\"],\"properties\":{\"path\":{\"enum\":[\"Tables\",\"Files\"]},\"name\":" TEXT
        ",\"target\":{\"type\":\"object\",\"required\":[\"connection\",\"subpath\"],\"properties\":{\"connection\":" TEXT ",\"subpath\":" TEXT "}}}}") "}}"},
    {"Shortcut", EXACTLY(SHORTCUT_REQUIRED, SHORTCUT)},
    {"ShortcutPage", PAGE("Shortcut")},
    {"Table", EXACTLY(SHORTCUT_REQUIRED ",\"version\",\"rows\",\"sizeBytes\",\"files\",\"watermark\",\"watermarkTime\",\"changed\",\"columns\"",
        SHORTCUT ",\"version\":" COUNT_OR_NULL ",\"rows\":" COUNT_OR_NULL ",\"sizeBytes\":" COUNT_OR_NULL ",\"files\":" COUNT_OR_NULL
        ",\"watermark\":" COUNT_OR_NULL ",\"watermarkTime\":" TIME_OR_NULL ",\"changed\":" TIME_OR_NULL ",\"columns\":"
        LIST(EXACTLY("\"name\",\"type\",\"attribute\",\"tag\",\"partition\",\"nullable\"",
        "\"name\":" TEXT ",\"type\":" TEXT ",\"attribute\":" TEXT ",\"tag\":" TEXT ",\"partition\":" FLAG ",\"nullable\":" FLAG)))},
    {"Rows", "{\"description\":\"in JSON an array of objects, a member for each column\"}"},
    {"Completion", EXACTLY("\"from\",\"words\"", "\"from\":" COUNT ",\"words\":" LIST(TEXT))},
    {"Statement", EXACTLY("\"id\",\"lakehouse\",\"kind\",\"started\"",
        "\"id\":{\"type\":\"string\",\"pattern\":\"^[0-9a-f]{32}$\"},\"lakehouse\":" TEXT ",\"kind\":{\"enum\":[\"statement\",\"cohort\",\"notebook\"]},\"started\":" TIME)},
    {"StatementPage", PAGE("Statement")},
    {"File", EXACTLY("\"name\",\"folder\",\"sizeBytes\",\"modified\"",
        "\"name\":" TEXT ",\"folder\":" FLAG ",\"sizeBytes\":" COUNT ",\"modified\":" TIME_OR_NULL)},
    {"FilePage", PAGE("File")},
    {"FileOrPage", "{\"description\":\"of a folder a page of files, of a file its bytes\",\"anyOf\":[" REF("FilePage") ",{}]}"},
    {"Cohort", EXACTLY("\"name\",\"version\",\"createdAt\",\"statement\",\"reads\",\"instances\"",
        "\"name\":" NAME ",\"version\":" COUNT ",\"createdAt\":" TIME ",\"statement\":" TEXT ",\"instances\":" COUNT_OR_NULL ",\"reads\":"
        LIST(EXACTLY("\"table\",\"version\",\"watermark\",\"fileCount\",\"filesSkipped\",\"rowCount\"", "\"table\":" TEXT
        ",\"version\":{\"type\":\"integer\"},\"watermark\":{\"type\":\"integer\"},\"fileCount\":{\"type\":\"integer\"},\"filesSkipped\":{\"type\":\"integer\"},\"rowCount\":{\"type\":\"integer\"}")))},
    {"CohortPage", PAGE("Cohort")},
    {"Instances", "{\"description\":\"an object a line: studyInstanceUid, seriesInstanceUid, sopInstanceUid, filePath\"}"},
    {"NotebookFact", EXACTLY("\"name\",\"sizeBytes\",\"modified\"", "\"name\":" NAME ",\"sizeBytes\":" COUNT ",\"modified\":" TIME_OR_NULL)},
    {"NotebookPage", PAGE("NotebookFact")},
    {"Notebook", "{\"type\":\"object\",\"required\":[\"nbformat\",\"nbformat_minor\",\"metadata\",\"cells\"],\"properties\":{"
        "\"nbformat\":{\"const\":4},\"nbformat_minor\":" COUNT ",\"metadata\":{\"type\":\"object\"},\"cells\":" LIST("{\"type\":\"object\"}") "}}"},
    {"OpenApi", "{\"type\":\"object\",\"required\":[\"openapi\",\"paths\"]}"},
};
/* clang-format on */

const dl_api_schema *dl_lake_schemas(size_t *out_count)
{
    *out_count = DL_COUNT_OF(schemas);
    return schemas;
}
