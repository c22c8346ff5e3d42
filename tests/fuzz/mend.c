#include "tests/fuzz/mend.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <zlib.h>

static uint32_t get(const uint8_t *at, size_t bytes)
{
    uint32_t value = 0;
    for (size_t i = bytes; i-- > 0;)
        value = value << 8 | at[i];
    return value;
}

static void put(uint8_t *at, uint32_t value)
{
    for (size_t i = 0; i < 4; i++)
        at[i] = (uint8_t)(value >> (8 * i));
}

static uint32_t crc_of(const uint8_t *data, size_t size)
{
    return (uint32_t)crc32_z(0, data, size);
}

/* ---- PNG: length, type, content, CRC; numbers begin with their high byte ----------------------- */

size_t mend_png(uint8_t *data, size_t size)
{
    if (size < 8 || memcmp(data, "\x89PNG", 4) != 0)
        return size;
    for (size_t at = 8; size - at >= 12;) {
        size_t length = __builtin_bswap32(get(data + at, 4));
        if (length > size - at - 12)
            break;
        put(data + at + 8 + length, __builtin_bswap32(crc_of(data + at + 4, length + 4)));
        at += length + 12;
    }
    return size;
}

/* ---- Zip --------------------------------------------------------------------------------------- */

/* CRC of what `packed` bytes of a deflated entry unpack to, up to 1 MiB of it. */
static uint32_t crc_unpacked(const uint8_t *data, size_t packed)
{
    static uint8_t out[1 << 20];
    z_stream z = {.next_in = (Bytef *)(uintptr_t)data, .avail_in = (uInt)packed, .next_out = out};
    z.avail_out = sizeof out;
    if (inflateInit2(&z, -MAX_WBITS) != Z_OK)
        return 0;
    inflate(&z, Z_FINISH);
    inflateEnd(&z);
    return crc_of(out, sizeof out - z.avail_out);
}

enum { LOCAL_SIZE = 30, CENTRAL_SIZE = 46, METHOD_DEFLATE = 8 };

/* The entry that a header of the central directory describes. */
static void mend_entry(uint8_t *data, size_t size, uint8_t *central)
{
    size_t packed = get(central + 20, 4), local = get(central + 42, 4);
    if (local > size || size - local < LOCAL_SIZE || memcmp(data + local, "PK\3\4", 4) != 0)
        return;
    size_t start = local + LOCAL_SIZE + get(data + local + 26, 2) + get(data + local + 28, 2);
    if (start > size || packed > size - start)
        return;
    uint32_t crc = get(central + 10, 2) == METHOD_DEFLATE ? crc_unpacked(data + start, packed)
                                                          : crc_of(data + start, packed);
    put(data + local + 14, crc);
    put(central + 16, crc);
}

size_t mend_zip(uint8_t *data, size_t size)
{
    for (size_t at = 0; size >= CENTRAL_SIZE && at <= size - CENTRAL_SIZE; at++)
        if (memcmp(data + at, "PK\1\2", 4) == 0)
            mend_entry(data, size, data + at);
    return size;
}

/* ---- Tar --------------------------------------------------------------------------------------- */

/* Blocks that are meant as headers: those with a checksum's digits where it belongs, or a magic. */
static bool is_tar_header(const uint8_t *block)
{
    return memcmp(block + 257, "ustar", 5) == 0 || (block[0] && block[148] == '0' && block[154] == 0);
}

size_t mend_tar(uint8_t *data, size_t size)
{
    for (uint8_t *block = data; size - (size_t)(block - data) >= 512; block += 512) {
        if (!is_tar_header(block))
            continue;
        unsigned sum = 0;
        memset(block + 148, ' ', 8);
        for (size_t i = 0; i < 512; i++)
            sum += block[i];
        snprintf((char *)block + 148, 8, "%06o", sum);
    }
    return size;
}

/* ---- Journal: magic; frames of kind, size, CRC, content ---------------------------------------- */

size_t mend_journal(uint8_t *data, size_t size)
{
    for (size_t at = 8; at <= size && size - at >= 12;) {
        size_t length = get(data + at + 4, 4);
        if (length > size - at - 12)
            break;
        uLong crc = crc32_z(0, data + at, 8);
        put(data + at + 8, (uint32_t)crc32_z(crc, data + at + 12, length));
        at += 12 + length;
    }
    return size;
}

/* ---- Safetensors: length of the header, header, data ------------------------------------------- */

size_t mend_safetensors(uint8_t *data, size_t size)
{
    size_t depth = 0;
    bool text = false;
    if (size < 9)
        return size;
    for (size_t at = 8; at < size; at++) {
        if (text && data[at] == '\\')
            at++;
        else if (data[at] == '"')
            text = !text;
        else if (!text && data[at] == '{')
            depth++;
        else if (!text && data[at] == '}' && depth && !--depth) {
            memset(data, 0, 8);
            put(data, (uint32_t)(at + 1 - 8));
            break;
        }
    }
    return size;
}
