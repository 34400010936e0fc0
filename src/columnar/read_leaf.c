/* Values of one leaf out of a vector. What widens is Delta's type widening: the table of kinds. */
#include "base/ckd.h"
#include "columnar/read.h"

static const int64_t us_a_day = INT64_C(86400000000);

/* ---- what fits ---- */

/* Digits that any value of an integer type has at most; 0: no integer. */
static unsigned integer_digits(duckdb_type type)
{
    switch ((int)type) {
    case DUCKDB_TYPE_TINYINT:
    case DUCKDB_TYPE_UTINYINT:
        return 3;
    case DUCKDB_TYPE_SMALLINT:
    case DUCKDB_TYPE_USMALLINT:
        return 5;
    case DUCKDB_TYPE_INTEGER:
    case DUCKDB_TYPE_UINTEGER:
        return 10;
    case DUCKDB_TYPE_BIGINT:
        return 19;
    default:
        return 0;
    }
}

/* Bits that a signed integer needs to hold the type; 0: no integer that we take. */
static unsigned integer_bits(duckdb_type type)
{
    switch ((int)type) {
    case DUCKDB_TYPE_TINYINT:
        return 8;
    case DUCKDB_TYPE_UTINYINT:
        return 9;
    case DUCKDB_TYPE_SMALLINT:
        return 16;
    case DUCKDB_TYPE_USMALLINT:
        return 17;
    case DUCKDB_TYPE_INTEGER:
        return 32;
    case DUCKDB_TYPE_UINTEGER:
        return 33;
    case DUCKDB_TYPE_BIGINT:
        return 64;
    default:
        return 0;
    }
}

static bool fits_bits(duckdb_type from, unsigned bits)
{
    unsigned needed = integer_bits(from);
    return needed != 0 && needed <= bits;
}

static bool fits_decimal(const dl_columnar_field *field, duckdb_type from, uint8_t width,
                         uint8_t scale)
{
    unsigned whole = integer_digits(from);
    if (from == DUCKDB_TYPE_DECIMAL) {
        if (scale > field->scale) {
            return false;
        }
        whole = (unsigned)(width - scale);
    } else if (whole == 0) {
        return false;
    }
    return field->precision >= field->scale && field->precision <= 38 &&
           whole <= (unsigned)(field->precision - field->scale);
}

static bool is_time(duckdb_type from)
{
    return from == DUCKDB_TYPE_TIMESTAMP || from == DUCKDB_TYPE_TIMESTAMP_TZ ||
           from == DUCKDB_TYPE_TIMESTAMP_S || from == DUCKDB_TYPE_TIMESTAMP_MS ||
           from == DUCKDB_TYPE_TIMESTAMP_NS;
}

bool dl_read_leaf_fits(const dl_columnar_field *field, duckdb_type from, uint8_t from_width,
                       uint8_t from_scale)
{
    if (from == DUCKDB_TYPE_SQLNULL) {
        return true; /* a column of nothing but NULL fits everything */
    }
    switch (field->type) {
    case DL_COLUMNAR_STRING:
    case DL_COLUMNAR_BINARY:
        return from == DUCKDB_TYPE_VARCHAR || from == DUCKDB_TYPE_BLOB;
    case DL_COLUMNAR_BOOL:
        return from == DUCKDB_TYPE_BOOLEAN;
    case DL_COLUMNAR_INT8:
        return fits_bits(from, 8);
    case DL_COLUMNAR_INT16:
        return fits_bits(from, 16);
    case DL_COLUMNAR_INT32:
        return fits_bits(from, 32);
    case DL_COLUMNAR_INT64:
        return fits_bits(from, 64);
    case DL_COLUMNAR_FLOAT:
        return from == DUCKDB_TYPE_FLOAT;
    case DL_COLUMNAR_DOUBLE:
        return from == DUCKDB_TYPE_FLOAT || from == DUCKDB_TYPE_DOUBLE || fits_bits(from, 33);
    case DL_COLUMNAR_DECIMAL:
        return fits_decimal(field, from, from_width, from_scale);
    case DL_COLUMNAR_DATE:
        return from == DUCKDB_TYPE_DATE;
    case DL_COLUMNAR_TIMESTAMP:
        return is_time(from); /* INT96 has no zone: it means UTC */
    case DL_COLUMNAR_TIMESTAMP_NTZ:
        return is_time(from) || from == DUCKDB_TYPE_DATE;
    case DL_COLUMNAR_STRUCT:
    case DL_COLUMNAR_LIST:
    case DL_COLUMNAR_MAP:
        return false;
    }
    return false;
}

/* ---- values ---- */

/* Values as they lie in the vector, each put through an expression over `x`. */
#define FILL(type, member, expression)                                                             \
    do {                                                                                           \
        const type *from = data;                                                                   \
        for (size_t i = 0; i < slots->count; i++) {                                                \
            if (leaf->def[i] == node->def) {                                                       \
                __typeof__(*from) x = from[slots->slots[i].at];                                    \
                leaf->values[i].member = (expression);                                             \
            }                                                                                      \
        }                                                                                          \
    } while (0)

static void fill_integers(const dl_read_node *node, const void *data, const dl_read_slots *slots,
                          dl_read_leaf *leaf)
{
    switch ((int)node->from) {
    case DUCKDB_TYPE_BOOLEAN:
        FILL(uint8_t, i, x != 0);
        break;
    case DUCKDB_TYPE_TINYINT:
        FILL(int8_t, i, x); /* NOLINT(bugprone-signed-char-misuse,cert-str34-c): a number */
        break;
    case DUCKDB_TYPE_UTINYINT:
        FILL(uint8_t, i, x);
        break;
    case DUCKDB_TYPE_SMALLINT:
        FILL(int16_t, i, x);
        break;
    case DUCKDB_TYPE_USMALLINT:
        FILL(uint16_t, i, x);
        break;
    case DUCKDB_TYPE_INTEGER:
    case DUCKDB_TYPE_DATE:
        FILL(int32_t, i, x);
        break;
    case DUCKDB_TYPE_UINTEGER:
        FILL(uint32_t, i, x);
        break;
    default:
        FILL(int64_t, i, x);
        break;
    }
}

static void fill_doubles(const dl_read_node *node, const void *data, const dl_read_slots *slots,
                         dl_read_leaf *leaf)
{
    switch ((int)node->from) {
    case DUCKDB_TYPE_FLOAT:
        FILL(float, d, (double)x);
        break;
    case DUCKDB_TYPE_DOUBLE:
        FILL(double, d, x);
        break;
    case DUCKDB_TYPE_TINYINT:
        FILL(int8_t, d, x);
        break;
    case DUCKDB_TYPE_UTINYINT:
        FILL(uint8_t, d, x);
        break;
    case DUCKDB_TYPE_SMALLINT:
        FILL(int16_t, d, x);
        break;
    case DUCKDB_TYPE_USMALLINT:
        FILL(uint16_t, d, x);
        break;
    case DUCKDB_TYPE_UINTEGER:
        FILL(uint32_t, d, x);
        break;
    default:
        FILL(int32_t, d, x);
        break;
    }
}

static int64_t times(int64_t x, int64_t factor)
{
    int64_t product = 0;
    if (ckd_mul(&product, x, factor)) { /* beyond what microseconds can say: the end of time */
        return x < 0 ? INT64_MIN : INT64_MAX;
    }
    return product;
}

static int64_t floor_thousand(int64_t x)
{
    return x / 1000 - (x % 1000 < 0 ? 1 : 0);
}

static void fill_times(const dl_read_node *node, const void *data, const dl_read_slots *slots,
                       dl_read_leaf *leaf)
{
    switch ((int)node->from) {
    case DUCKDB_TYPE_DATE:
        FILL(int32_t, i, times(x, us_a_day));
        break;
    case DUCKDB_TYPE_TIMESTAMP_S:
        FILL(int64_t, i, times(x, 1000000));
        break;
    case DUCKDB_TYPE_TIMESTAMP_MS:
        FILL(int64_t, i, times(x, 1000));
        break;
    case DUCKDB_TYPE_TIMESTAMP_NS:
        FILL(int64_t, i, floor_thousand(x));
        break;
    default:
        FILL(int64_t, i, x);
        break;
    }
}

static dl_status fill_strings(const dl_read_node *node, const void *data,
                              const dl_read_slots *slots, dl_read_leaf *leaf, dl_error *err)
{
    const duckdb_string_t *from = data;
    bool check = node->from == DUCKDB_TYPE_BLOB && node->field->type == DL_COLUMNAR_STRING;
    for (size_t i = 0; i < slots->count; i++) {
        if (leaf->def[i] != node->def) {
            continue;
        }
        dl_str text = dl_duckdb_text(&from[slots->slots[i].at]);
        if (check && !dl_str_is_utf8(text)) {
            return dl_error_set(err, DL_E_CORRUPT, "columnar: column %.*s: a value is not UTF-8",
                                DL_STR_ARG(node->field->name));
        }
        leaf->values[i].s = text;
    }
    return DL_OK;
}

/* ---- decimals ---- */

typedef __int128 wide;

static wide wide_at(const dl_read_node *node, const void *data, size_t at)
{
    switch ((int)node->from) {
    case DUCKDB_TYPE_TINYINT:
        return ((const int8_t *)data)[at];
    case DUCKDB_TYPE_UTINYINT:
        return ((const uint8_t *)data)[at];
    case DUCKDB_TYPE_SMALLINT:
        return ((const int16_t *)data)[at];
    case DUCKDB_TYPE_USMALLINT:
        return ((const uint16_t *)data)[at];
    case DUCKDB_TYPE_INTEGER:
        return ((const int32_t *)data)[at];
    case DUCKDB_TYPE_UINTEGER:
        return ((const uint32_t *)data)[at];
    case DUCKDB_TYPE_BIGINT:
        return ((const int64_t *)data)[at];
    default: {
        duckdb_hugeint x = ((const duckdb_hugeint *)data)[at];
        return (wide)(((unsigned __int128)(uint64_t)x.upper << 64) | x.lower);
    }
    }
}

/* "-12.50": all digits of the scale, at least one before the point. */
static dl_str wide_text(wide x, unsigned scale, char *out)
{
    unsigned __int128 rest = x < 0 ? -(unsigned __int128)x : (unsigned __int128)x;
    char digits[DL_READ_DECIMAL_SIZE];
    size_t count = 0;
    while (rest != 0 || count <= scale) {
        digits[count++] = (char)('0' + (int)(rest % 10));
        rest /= 10;
    }
    size_t len = 0;
    if (x < 0) {
        out[len++] = '-';
    }
    while (count > 0) {
        if (count == scale) {
            out[len++] = '.';
        }
        out[len++] = digits[--count];
    }
    return (dl_str){out, len};
}

static dl_status fill_decimals(const dl_read_node *node, const void *data,
                               const dl_read_slots *slots, dl_read_leaf *leaf, dl_error *err)
{
    wide factor = 1;
    for (unsigned i = node->from_scale; i < node->field->scale; i++) {
        factor *= 10;
    }
    for (size_t i = 0; i < slots->count; i++) {
        if (leaf->def[i] != node->def) {
            continue;
        }
        wide x = 0;
        if (ckd_mul(&x, wide_at(node, data, slots->slots[i].at), factor)) {
            return dl_error_set(err, DL_E_CORRUPT,
                                "columnar: column %.*s: a decimal has more digits than its type",
                                DL_STR_ARG(node->field->name));
        }
        if (node->field->precision <= 18) {
            leaf->values[i].i = (int64_t)x;
        } else {
            leaf->values[i].s =
                wide_text(x, node->field->scale, leaf->text + i * DL_READ_DECIMAL_SIZE);
        }
    }
    return DL_OK;
}

/* ---- one leaf ---- */

/* Which slots hold a value: their def becomes the leaf's. */
static dl_status mark(const dl_read_node *node, const uint64_t *validity,
                      const dl_read_slots *slots, dl_read_leaf *leaf, dl_error *err)
{
    for (size_t i = 0; i < slots->count; i++) {
        const dl_read_slot *slot = &slots->slots[i];
        leaf->rep[i] = slot->rep;
        leaf->def[i] = slot->def;
        if (slot->at == DL_READ_NOTHING) {
            continue;
        }
        if (validity == NULL || (validity[slot->at / 64] >> (slot->at % 64) & 1) != 0) {
            leaf->def[i] = node->def;
        } else if (node->required) {
            return dl_error_set(err, DL_E_CORRUPT,
                                "columnar: column %.*s: NULL in a required column",
                                DL_STR_ARG(node->field->name));
        }
    }
    return DL_OK;
}

dl_status dl_read_leaf_values(const dl_duckdb *api, const dl_read_node *node, duckdb_vector vector,
                              const dl_read_slots *slots, dl_read_leaf *leaf, dl_error *err)
{
    DL_TRY(mark(node, api->vector_get_validity(vector), slots, leaf, err));
    const void *data = api->vector_get_data(vector);
    if (node->from == DUCKDB_TYPE_SQLNULL || data == NULL) {
        return DL_OK;
    }
    switch (node->field->type) {
    case DL_COLUMNAR_STRING:
    case DL_COLUMNAR_BINARY:
        return fill_strings(node, data, slots, leaf, err);
    case DL_COLUMNAR_FLOAT:
    case DL_COLUMNAR_DOUBLE:
        fill_doubles(node, data, slots, leaf);
        break;
    case DL_COLUMNAR_DECIMAL:
        return fill_decimals(node, data, slots, leaf, err);
    case DL_COLUMNAR_TIMESTAMP:
    case DL_COLUMNAR_TIMESTAMP_NTZ:
        fill_times(node, data, slots, leaf);
        break;
    case DL_COLUMNAR_BOOL:
    case DL_COLUMNAR_INT8:
    case DL_COLUMNAR_INT16:
    case DL_COLUMNAR_INT32:
    case DL_COLUMNAR_INT64:
    case DL_COLUMNAR_DATE:
    case DL_COLUMNAR_STRUCT:
    case DL_COLUMNAR_LIST:
    case DL_COLUMNAR_MAP:
        fill_integers(node, data, slots, leaf);
        break;
    }
    return DL_OK;
}
