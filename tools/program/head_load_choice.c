#include "tools/program/head_load_choice.h"

#include "base/memory.h"
#include "imgio/dataset/classes.h"
#include "tools/program/complain.h"
#include "tools/program/output.h"
#include "vit/network/config.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* The length of the header, of which the upper half is zero, and its first bracket. */
bool head_load_is_in(const char *path)
{
    unsigned char start[9];
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    ssize_t n = read(fd, start, sizeof start);
    close(fd);
    return n == (ssize_t)sizeof start && !start[4] && !start[5] && !start[6] && !start[7] && start[8] == '{';
}

head_load *head_load_open_or_complain(const char *path)
{
    head_load *l = NULL;
    mohvit_error err;
    if (!head_load_open(&l, path, config_routing_from_json, &err))
        return l;
    if (err.status == MOHVIT_ERROR_FORMAT && !head_load_is_in(path))
        complain("%s: is not a head load; expected a file that \"headload count\" wrote", path);
    else
        complain("%s", err.message);
    return NULL;
}

char *head_load_without(const head_load *l)
{
    const char *heads = json_string_value(json_object_get(l->provenance, "dropped_heads"));
    bool renormalised = json_is_true(json_object_get(l->provenance, "renormalise"));
    char *text;
    if (!heads)
        return NULL;
    int printed = asprintf(&text, "counted without %s, whose gates are 0%s", heads,
                           renormalised ? "; gates renormalised" : "");
    return or_die(printed < 0 ? NULL : text);
}

bool importance_open_or_complain(importance_table *out, const char *path, const head_load *l,
                                 const char *load_name)
{
    mohvit_error err;
    if (!fine_or_complain(importance_read(out, path, l, load_name, &err), &err))
        return false;
    if (out->failed)
        complain("warning: %s: %" PRIu64 " of %" PRIu64 " pictures failed, and are not in it", path,
                 out->failed, out->images + out->failed);
    return true;
}

// ---- Blocks ----------------------------------------------------------------------------------------

/* "S.B" and nothing else. */
static bool names_block(const char *text)
{
    static const char digits[] = "0123456789";
    size_t stage = strspn(text, digits);
    if (!stage || text[stage] != '.')
        return false;
    size_t block = strspn(text + stage + 1, digits);
    return block && !text[stage + 1 + block];
}

bool choice_block_valid_or_complain(const char *text)
{
    if (!strcmp(text, "last") || names_block(text))
        return true;
    complain("--block %s: expected \"last\", or stage and block as in \"3.0\"", text);
    return false;
}

/* "1.0 to 1.4, 2.0 to 2.4, ..." as far as there is room. */
static void list_blocks(char *out, size_t size, const routing_layout *l)
{
    size_t used = 0;
    for (size_t i = 0; i < l->count && used < size; i++) {
        const routing_block *b = &l->blocks[i];
        bool first = !i || b[-1].stage != b->stage, last = i + 1 == l->count || b[1].stage != b->stage;
        if (first || last)
            used += (size_t)snprintf(out + used, size - used, "%s%s",
                                     !first ? " to "
                                     : i    ? ", "
                                            : "",
                                     b->name);
    }
}

const routing_block *choice_block_or_complain(const routing_layout *l, const char *name, const char *text)
{
    char all[256] = "";
    if (!text || !strcmp(text, "last")) {
        const routing_block *last = routing_layout_last_routed(l);
        if (!last)
            complain("%s: no block of this model routes: all its heads are always on", name);
        return last;
    }
    const routing_block *found = routing_layout_find(l, text);
    list_blocks(all, sizeof all, l);
    if (!found)
        complain("--block %s: there is no such block; expected %s", text, all);
    return found;
}

// ---- Classes ---------------------------------------------------------------------------------------

static void add(class_choice *chosen, size_t class_index)
{
    chosen->classes =
        or_die(memory_grow(chosen->classes, chosen->count, &chosen->capacity, sizeof *chosen->classes));
    chosen->classes[chosen->count++] = class_index;
}

static void show_class(const head_load *l, size_t c)
{
    complain("  %zu  %s  %s", c, l->names.id[c] ? l->names.id[c] : "", l->names.name[c]);
}

/* Those that the text may have meant: with it in their names, or all where they are few. */
static void suggest(const head_load *l, const char *text)
{
    enum { SHOWN = 10, FEW = 20 };
    size_t shown = 0;
    for (size_t c = 0; c < l->names.count && shown < SHOWN; c++) {
        if (*text && strcasestr(l->names.name[c], text)) {
            show_class(l, c);
            shown++;
        }
    }
    for (size_t c = 0; c < l->names.count && !shown && l->names.count <= FEW; c++)
        show_class(l, c);
}

static bool add_named(class_choice *chosen, const head_load *l, const class_table *table, const char *text)
{
    size_t class_index;
    mohvit_error err;
    if (!class_parse(table, text, "--classes", &class_index, &err)) {
        add(chosen, class_index);
        return true;
    }
    complain("%s", err.message);
    suggest(l, text);
    return false;
}

bool choice_add_or_complain(class_choice *chosen, const head_load *l, const char *list)
{
    const class_names names = {l->names.count, l->names.name, l->names.id};
    class_table *table = NULL;
    class_table_create(&table, &names, NULL);
    or_die(table);
    char *copy = or_die(strdup(list)), *rest = copy, *text;
    bool known = true;
    // A name with commas in it, as ImageNet's have, may be the whole of a list.
    if (strchr(list, ',') && class_by_name(table, list) < CLASS_AMBIGUOUS)
        known = add_named(chosen, l, table, list);
    else
        while (known && (text = strsep(&rest, ","))) {
            text += strspn(text, " ");
            for (size_t n = strlen(text); n && text[n - 1] == ' '; n--)
                text[n - 1] = '\0';
            known = add_named(chosen, l, table, text);
        }
    class_table_destroy(table);
    free(copy);
    return known;
}

void choice_add_counted(class_choice *chosen, const head_load *l)
{
    for (size_t c = 0; c < l->names.count; c++)
        if (l->images[c])
            add(chosen, c);
}

void choice_note_left_out(const class_choice *chosen, const head_load *l)
{
    size_t empty = l->names.count - chosen->count;
    if (empty)
        complain("note: %zu class%s without pictures %s left out", empty, empty == 1 ? "" : "es",
                 empty == 1 ? "is" : "are");
}

void output_head_load_end(const head_load *l)
{
    output_printf("],\"data\":");
    output_json_part(json_incref(l->sources));
    output_printf(",\"provenance\":");
    output_json_part(json_incref(l->provenance));
    output_printf("}\n");
}
