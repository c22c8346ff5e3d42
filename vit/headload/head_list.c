#include "vit/headload/head_list.h"

#include "base/bytes.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char blanks[] = " \t\r\n", digits[] = "0123456789";

/* A part of a text. */
typedef struct word {
    const char *text;
    size_t size;
} word;

/* An item under way, and where it is to be reported. */
typedef struct item_reading {
    uint8_t *named;
    const routing_layout *layout;
    const char *what;
    word item;
    const routing_block *first, *end; /* the blocks of its place */
    mohvit_error *err;
} item_reading;

static bool is_word(word w, const char *name)
{
    return w.size == strlen(name) && !memcmp(w.text, name, w.size);
}

static bool all_digits(word w)
{
    return w.size && strspn(w.text, digits) >= w.size;
}

/* Cuts text at the first of the bytes: gives what stands before it, and leaves what stands behind it, or
 * nothing. */
static word cut(word *text, char at)
{
    const char *found = memchr(text->text, at, text->size);
    word before = {text->text, found ? (size_t)(found - text->text) : text->size};
    size_t used = before.size + (found != NULL);
    *text = (word){text->text + used, text->size - used};
    return before;
}

// ---- Messages --------------------------------------------------------------------------------------

/* "s1 to s2 and r1 to r14" */
static void heads_text(char *out, size_t size, const routing_block *b)
{
    size_t used = 0;
    const size_t counts[] = {b->shared, routing_candidates(b)};
    for (size_t i = 0; i < 2; i++) {
        char kind = "sr"[i];
        if (counts[i] && used < size)
            used += (size_t)snprintf(out + used, size - used, "%s%c1", used ? " and " : "", kind);
        if (counts[i] > 1 && used < size)
            used += (size_t)snprintf(out + used, size - used, " to %c%zu", kind, counts[i]);
    }
}

/* "; block 4.0 has s1 to s2 and r1 to r14", of the place's first block; "" where no model is known. */
static void place_text(char *out, size_t size, const item_reading *r)
{
    char heads[100];
    *out = '\0';
    if (!r->layout)
        return;
    heads_text(heads, sizeof heads, r->first);
    snprintf(out, size, "; block %s has %s", r->first->name, heads);
}

static mohvit_status bad_head(const item_reading *r, word head)
{
    char place[160];
    place_text(place, sizeof place, r);
    return error_set(
        r->err, MOHVIT_ERROR_ARGUMENT,
        "%s: \"%.*s\": \"%.*s\" is no head; heads are written s1, s2 ... (shared) and r1, r2 ... "
        "(routed), as in 4.0:r3,r5%s",
        r->what, (int)r->item.size, r->item.text, (int)head.size, head.text, place);
}

static mohvit_status bad_item(const item_reading *r)
{
    return error_set(r->err, MOHVIT_ERROR_ARGUMENT,
                     "%s: \"%.*s\": expected heads, such as 4.0:r3,r5 or 4.0:s1, a block as 4.0, a stage as "
                     "4, \"routed\" or \"shared\"; several are separated by blanks",
                     r->what, (int)r->item.size, r->item.text);
}

static mohvit_status no_head(const item_reading *r, word head)
{
    char place[160];
    place_text(place, sizeof place, r);
    return error_set(r->err, MOHVIT_ERROR_ARGUMENT, "%s: \"%.*s\": there is no %.*s%s", r->what,
                     (int)r->item.size, r->item.text, (int)head.size, head.text, place);
}

static mohvit_status no_place(const item_reading *r, word place)
{
    const routing_layout *l = r->layout;
    return error_set(r->err, MOHVIT_ERROR_ARGUMENT,
                     "%s: \"%.*s\": there is no %s %.*s; the model has blocks %s to %s", r->what,
                     (int)r->item.size, r->item.text, memchr(place.text, '.', place.size) ? "block" : "stage",
                     (int)place.size, place.text, l->blocks[0].name, l->blocks[l->count - 1].name);
}

// ---- Reading ---------------------------------------------------------------------------------------

/* Marks heads first … end−1 of a block. */
static void mark(const item_reading *r, const routing_block *b, size_t first, size_t end)
{
    memset(r->named + b->index * r->layout->max_heads + first, 1, end - first);
}

/* All of a kind, in those blocks of the place that have it. */
static mohvit_status read_kind(const item_reading *r, bool shared)
{
    bool any = false;
    for (const routing_block *b = r->first; b < r->end; b++) {
        size_t first = shared ? 0 : b->shared, end = shared ? b->shared : b->heads;
        mark(r, b, first, end);
        any = any || first < end;
    }
    const char *const kind = shared ? "shared head" : "routed head";
    return any ? MOHVIT_OK : no_head(r, (word){kind, strlen(kind)});
}

static mohvit_status read_number(const item_reading *r, word head)
{
    bool shared = *head.text == 's';
    char text[8];
    snprintf(text, sizeof text, "%.*s", (int)(head.size - 1), head.text + 1);
    size_t number = head.size < sizeof text ? strtoul(text, NULL, 10) : SIZE_MAX;
    for (const routing_block *b = r->first; b < r->end; b++) {
        size_t count = shared ? b->shared : routing_candidates(b), before = shared ? 0 : b->shared;
        if (number > count) {
            item_reading of_block = *r;
            of_block.first = b;
            return no_head(&of_block, head);
        }
        mark(r, b, before + number - 1, before + number);
    }
    return MOHVIT_OK;
}

static mohvit_status read_head(const item_reading *r, word head)
{
    bool shared = is_word(head, "shared");
    bool numbered = head.size > 1 && strchr("sr", *head.text) && head.text[1] != '0' &&
                    all_digits((word){head.text + 1, head.size - 1});
    if (!shared && !is_word(head, "routed") && !numbered)
        return bad_head(r, head);
    if (!r->layout)
        return MOHVIT_OK;
    return numbered ? read_number(r, head) : read_kind(r, shared);
}

/* Whether it is "S" or "S.B". */
static bool is_place(word place)
{
    bool block = memchr(place.text, '.', place.size);
    word stage = cut(&place, '.');
    return all_digits(stage) && (!block || all_digits(place));
}

/* The blocks that it means, which are neighbours. */
static mohvit_status find_place(item_reading *r, word place)
{
    const routing_layout *l = r->layout;
    for (size_t i = 0; l && i < l->count; i++) {
        const routing_block *b = &l->blocks[i];
        char stage[24];
        snprintf(stage, sizeof stage, "%zu", b->stage);
        if (!is_word(place, b->name) && !is_word(place, stage))
            continue;
        r->first = r->first ? r->first : b;
        r->end = b + 1;
    }
    return r->first || !l ? MOHVIT_OK : no_place(r, place);
}

static mohvit_status read_item(item_reading *r)
{
    const routing_layout *l = r->layout;
    word heads = r->item, place;
    bool everywhere = is_word(heads, "routed") || is_word(heads, "shared");
    bool listed = memchr(heads.text, ':', heads.size);
    mohvit_status status = MOHVIT_OK;
    if (everywhere) {
        r->first = l ? l->blocks : NULL;
        r->end = l ? l->blocks + l->count : NULL;
        return read_head(r, heads);
    }
    place = cut(&heads, ':');
    if (!is_place(place))
        return bad_item(r);
    status = find_place(r, place);
    for (const routing_block *b = r->first; !status && !listed && b < r->end; b++)
        mark(r, b, 0, b->heads);
    for (bool more = listed; !status && more;) {
        more = memchr(heads.text, ',', heads.size);
        status = read_head(r, cut(&heads, ','));
    }
    return status;
}

mohvit_status head_list_read(uint8_t *named, const routing_layout *l, const char *text, const char *what,
                             mohvit_error *err)
{
    mohvit_status status = MOHVIT_OK;
    item_reading r = {.named = named, .layout = l, .what = what, .err = err, .item = {text, strlen(text)}};
    if (!text[strspn(text, blanks)])
        return bad_item(&r);
    for (text += strspn(text, blanks); !status && *text; text += strspn(text, blanks)) {
        r.item = (word){text, strcspn(text, blanks)};
        r.first = r.end = NULL;
        status = read_item(&r);
        text += r.item.size;
    }
    return status;
}

// ---- Writing ---------------------------------------------------------------------------------------

static size_t count_named(const uint8_t *named, size_t first, size_t end)
{
    size_t count = 0;
    for (size_t i = first; i < end; i++)
        count += named[i] != 0;
    return count;
}

/* Heads first … end−1 of a block, which are of one kind. */
static void put_kind(bytes *out, const routing_block *b, const uint8_t *named, bool shared, bool *begun)
{
    size_t first = shared ? 0 : b->shared, end = shared ? b->shared : b->heads;
    size_t count = count_named(named, first, end);
    for (size_t head = first; count && head < end; head++) {
        char name[ROUTING_HEAD_NAME];
        if (!named[head])
            continue;
        routing_head_name(name, b, head);
        bool all = count == end - first;
        const char *text = !all ? name : shared ? "shared" : "routed";
        bytes_put(out, *begun ? "," : ":", 1);
        bytes_put(out, text, strlen(text));
        *begun = true;
        if (all)
            break;
    }
}

char *head_list_text(const routing_layout *l, const uint8_t *named)
{
    bytes out = {0};
    for (size_t i = 0; i < l->count; i++, named += l->max_heads) {
        const routing_block *b = &l->blocks[i];
        size_t count = count_named(named, 0, b->heads);
        bool begun = false;
        if (!count)
            continue;
        bytes_put(&out, " ", out.size != 0);
        bytes_put(&out, b->name, strlen(b->name));
        if (count == b->heads)
            continue;
        put_kind(&out, b, named, true, &begun);
        put_kind(&out, b, named, false, &begun);
    }
    bytes_put(&out, "", 1);
    if (!out.failed)
        return (char *)out.data;
    bytes_free(&out);
    return NULL;
}
