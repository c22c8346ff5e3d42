#include "tools/program/head_load_choice.h"

#include "tools/program/output.h"
#include "vit/network/config_routing.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

head_load *choice_open(const char *path)
{
    head_load *l = NULL;
    mohvit_error err;
    if (!head_load_open(&l, path, config_routing_from_json, &err))
        return l;
    complain("%s", err.message);
    return NULL;
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

bool choice_block_valid(const char *option, const char *text)
{
    if (!strcmp(text, "last") || names_block(text))
        return true;
    complain("%s %s: expected \"last\", or stage and block as in \"3.0\"", option, text);
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

const routing_block *choice_block(const routing_layout *l, const char *option, const char *text)
{
    char all[256] = "";
    if (!text || !strcmp(text, "last")) {
        const routing_block *last = routing_layout_last_routed(l);
        if (!last)
            complain("no block of this model routes: all its heads are always on");
        return last;
    }
    const routing_block *found = routing_layout_find(l, text);
    list_blocks(all, sizeof all, l);
    if (!found)
        complain("%s %s: there is no such block; expected %s", option, text, all);
    return found;
}

// ---- Classes ---------------------------------------------------------------------------------------

static void add(class_choice *chosen, size_t class_index)
{
    chosen->classes = need(realloc(chosen->classes, (chosen->count + 1) * sizeof *chosen->classes));
    chosen->classes[chosen->count++] = class_index;
}

/* From the best kind of match down; a better one leaves the others aside. */
typedef enum { MATCH_NAME, MATCH_ID, MATCH_FIRST, MATCH_NAME_ANY_CASE, MATCH_FIRST_ANY_CASE, MATCHES } match;

static bool matches(const head_load *l, size_t c, const char *text, match how)
{
    const char *name = l->names.name[c], *id = l->names.id[c];
    size_t length = strlen(text);
    bool first = strlen(name) > length && name[length] == ',';
    switch (how) {
    case MATCH_NAME:
        return !strcmp(name, text);
    case MATCH_ID:
        return id && !strcmp(id, text);
    case MATCH_FIRST:
        return first && !strncmp(name, text, length);
    case MATCH_NAME_ANY_CASE:
        return !strcasecmp(name, text);
    default:
        return first && !strncasecmp(name, text, length);
    }
}

static bool report_ambiguous(const head_load *l, const char *text, match how)
{
    complain("%s: several classes are called so; give the id or the number:", text);
    for (size_t c = 0; c < l->names.count; c++)
        if (matches(l, c, text, how))
            complain("  %zu  %s  %s", c, l->names.id[c] ? l->names.id[c] : "", l->names.name[c]);
    return false;
}

static bool report_unknown(const head_load *l, const char *text)
{
    size_t shown = 0;
    complain("%s: no class is called so", text);
    for (size_t c = 0; c < l->names.count && shown < 10; c++) {
        if (*text && strcasestr(l->names.name[c], text)) {
            complain("  did you mean %zu, %s?", c, l->names.name[c]);
            shown++;
        }
    }
    if (!shown && l->names.count <= 20)
        for (size_t c = 0; c < l->names.count; c++)
            complain("  %zu  %s", c, l->names.name[c]);
    return false;
}

static bool add_named(class_choice *chosen, const head_load *l, const char *text)
{
    for (match how = 0; how < MATCHES; how++) {
        size_t found = 0, last = 0;
        for (size_t c = 0; c < l->names.count; c++) {
            if (matches(l, c, text, how)) {
                found++;
                last = c;
            }
        }
        if (found > 1)
            return report_ambiguous(l, text, how);
        if (found) {
            add(chosen, last);
            return true;
        }
    }
    char *end;
    unsigned long number = strtoul(text, &end, 10);
    if (isdigit((unsigned char)*text) && !*end && number < l->names.count) {
        add(chosen, number);
        return true;
    }
    return report_unknown(l, text);
}

bool choice_add(class_choice *chosen, const head_load *l, const char *list)
{
    char *copy = need(strdup(list)), *rest = copy;
    bool known = true;
    // A name with commas in it, as ImageNet's have, may be the whole of a list.
    for (size_t c = 0; c < l->names.count; c++) {
        if (strchr(list, ',') && !strcasecmp(l->names.name[c], list)) {
            free(copy);
            return add_named(chosen, l, list);
        }
    }
    for (char *text; known && (text = strsep(&rest, ","));) {
        text += strspn(text, " ");
        for (size_t n = strlen(text); n && text[n - 1] == ' '; n--)
            text[n - 1] = '\0';
        known = add_named(chosen, l, text);
    }
    free(copy);
    return known;
}

void choice_add_all(class_choice *chosen, const head_load *l)
{
    for (size_t c = 0; c < l->names.count; c++)
        add(chosen, c);
}

void choice_free(class_choice *chosen)
{
    free(chosen->classes);
    *chosen = (class_choice){0};
}
