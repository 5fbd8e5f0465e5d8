#pragma once

#include <span>

#include <chainrule/graph/derivation/chain.hpp>
#include <chainrule/graph/derivation/derive.hpp>

namespace chainrule::derivation {

/// A chain in words: with names, in all formats. `values` are those of the gradients or tangents,
/// by node, undefined where they are not known.
Derivation derivation_of(const Chain& chain, std::span<const Tensor> values);

}  // namespace chainrule::derivation
