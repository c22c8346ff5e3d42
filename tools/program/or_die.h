/* or_die.h - what is done where memory runs out. */
#ifndef MOHVIT_OR_DIE_H
#define MOHVIT_OR_DIE_H

/* The result of an allocation or of a jansson call; without memory the program ends with a message. */
void *or_die(void *pointer);

#endif
