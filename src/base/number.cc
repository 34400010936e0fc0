#include "base/number.h"

#include <charconv>

namespace
{

template <typename number> size_t format(number value, char *out)
{
    number size = value < 0 ? -value : value;
    bool plain = size == 0 || (size >= number(1e-5) && size < number(1e16));
    std::chars_format how = plain ? std::chars_format::fixed : std::chars_format::scientific;
    return size_t(std::to_chars(out, out + DL_NUMBER_TEXT_SIZE, value, how).ptr - out);
}

} // namespace

extern "C" size_t dl_number_format(double value, char out[DL_NUMBER_TEXT_SIZE])
{
    return format(value, out);
}

extern "C" size_t dl_number_format_float(float value, char out[DL_NUMBER_TEXT_SIZE])
{
    return format(value, out);
}
