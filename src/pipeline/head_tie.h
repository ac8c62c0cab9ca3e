// The head of a model and its embeddings: one tensor or two.
#pragma once

#include "mquant/recipe.h"
#include "pipeline/source.h"

namespace mquant {

/// How the head's weight stands to the embeddings.
struct HeadTie {
  bool in_source = false;    ///< one tensor in the source
  bool in_artifact = false;  ///< and the same matrix after all passes, rounded alike: stored once
};
HeadTie head_tie(const SourceModel& source, const Recipe& recipe);

/// Replaces the scheme "tied" of embeddings: that of the head where both are one matrix and rounded to nearest, which is
/// then stored once, in codes; float where they are two, since codes of the embeddings alone cost more than they save.
void settle_embeddings(Recipe& recipe, const SourceModel& source);

}  // namespace mquant
