/* head_list.h - the heads that a text such as "4.0:r3,r5 2:shared routed" names: what every option and
 * function that takes heads goes by. Items are separated by blanks. Each is
 *
 *     PLACE:HEAD,HEAD…    of a block ("4.0") or of every block of a stage ("4")
 *     PLACE               all heads there
 *     routed, shared      those heads of every block
 *
 * and a HEAD is s1, s2 … (shared), r1, r2 … (routed), "routed" or "shared". An item that names no head of the
 * model is an error. */
#ifndef MOHVIT_HEAD_LIST_H
#define MOHVIT_HEAD_LIST_H

#include "vit/headload/routing_layout.h"

/* Sets named (count, max_heads) of the layout to 1 for each head that text names, and leaves the others.
 * l and named NULL: checks how the text is written, as far as that goes without a model. what begins
 * messages. On failure, some of named may be set. */
mohvit_status head_list_read(uint8_t *named, const routing_layout *l, const char *text, const char *what,
                             mohvit_error *err);

/* The shortest list of exactly these heads, block by block: malloc'd; NULL without memory. */
char *head_list_text(const routing_layout *l, const uint8_t *named);

#endif
