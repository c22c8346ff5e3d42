/* classifier.h - the network's end: the mean of its tokens, and a layer that scores the classes (spec 2). */
#ifndef MOHVIT_CLASSIFIER_H
#define MOHVIT_CLASSIFIER_H

#include "vit/network/config.h"
#include "vit/network/bind.h"
#include "vit/network/pass.h"

/* C → num_classes. */
linear classifier_bind(binder *b, const config *c);

/* features (C) = mean of x (N, C) over the tokens; logits (num_classes) = head(features). */
void classifier_forward(const pass *p, const linear *head, const float *x, size_t N, float *features,
                        float *logits);

#endif
