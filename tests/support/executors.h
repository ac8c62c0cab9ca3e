// What the fast executor promises about the plain one, about batches and about turns.
#pragma once

#include <vector>

#include "eval/loaded_model.h"

namespace mquant::test {

/// Registers after every block are the same bits, logits the same to float32's rounding of the head's sums.
void expect_same_numbers(const LoadedModel& plain, const LoadedModel& fast, const Features& features);

/// Every way to find a token's static scale gives the same bits, with and without AIFS.
void expect_scaling_keeps_bits(LoadedModel& fast, const Features& features);

/// All sequences at once, prefill and decode steps, give what each gives alone.
void expect_batch_is_each_alone(const LoadedModel& fast, const std::vector<Features>& sequences);

/// A prompt in two turns, the second onto the cache of the first, gives the last logits of the prompt as one.
void expect_turns_are_one(const LoadedModel& fast, const Features& features);

}  // namespace mquant::test
