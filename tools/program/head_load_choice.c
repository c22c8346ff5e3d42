#include "tools/program/head_load_choice.h"

#include "tools/program/output.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

head_load *choice_open(const char *path)
{
    head_load *l = NULL;
    mohvit_error err;
    if (!head_load_open(&l, path, &err))
        return l;
    complain("%s", err.message);
    return NULL;
}

// ---- Blocks ----------------------------------------------------------------------------------------

/* "S.B" and nothing else. */
static bool parse_block(size_t *stage, size_t *block, const char *text)
{
    int end = 0;
    if (!isdigit((unsigned char)*text) || strlen(text) > 8)
        return false;
    return sscanf(text, "%zu.%zu%n", stage, block, &end) == 2 && !text[end] && !strchr(text, ' ');
}

bool choice_block_valid(const char *option, const char *text)
{
    size_t stage, block;
    if (!strcmp(text, "last") || parse_block(&stage, &block, text))
        return true;
    complain("%s %s: expected \"last\", or stage and block as in \"3.0\"", option, text);
    return false;
}

static bool last_routed(size_t *block, const config *c)
{
    size_t end = config_blocks(c);
    for (size_t s = STAGES; s--; end -= c->depths[s]) {
        if (c->routed_head[s]) {
            *block = end - 1;
            return true;
        }
    }
    complain("no block of this model routes: all its heads are always on");
    return false;
}

bool choice_block(size_t *block, const config *c, const char *option, const char *text)
{
    size_t stage, within, first = 0;
    if (!text || !strcmp(text, "last"))
        return last_routed(block, c);
    if (!choice_block_valid(option, text) || !parse_block(&stage, &within, text))
        return false;
    if (stage < 1 || stage > STAGES || within >= c->depths[stage - 1]) {
        complain("%s %s: there is no such block; stages 1 to %d have %zu, %zu, %zu and %zu, from 0", option,
                 text, STAGES, c->depths[0], c->depths[1], c->depths[2], c->depths[3]);
        return false;
    }
    for (size_t s = 0; s + 1 < stage; s++)
        first += c->depths[s];
    *block = first + within;
    return true;
}

// ---- Classes ---------------------------------------------------------------------------------------

static void add(class_choice *chosen, size_t class_index)
{
    chosen->classes = need(realloc(chosen->classes, (chosen->count + 1) * sizeof *chosen->classes));
    chosen->classes[chosen->count++] = class_index;
}

char *choice_title(const head_load *l, size_t class_index)
{
    const char *name = l->names.name[class_index];
    size_t length = strcspn(name, ",");
    return need(strndup(name, length ? length : strlen(name)));
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
