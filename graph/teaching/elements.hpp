#pragma once

#include <optional>
#include <span>
#include <vector>

#include <chainrule/core/random.hpp>
#include <chainrule/graph/derivation/chain.hpp>
#include <chainrule/graph/teaching/listing.hpp>

namespace chainrule::teaching {

/// An element of a gradient that somebody can compute by hand, from numbers with few digits;
/// nothing where the tensors of its formula are too large for that. At its place wrong formulas
/// give another number, where there is such a place.
std::optional<Exercise::Element> element_of(Listing& listing, const derivation::Chain::Link& link,
                                            std::span<const Exercise::Choice> choices,
                                            Generator& random);

/// What a wrong formula that is offered gives for the element of a line.
struct WrongElement {
  double value;
  const Exercise::Choice* choice;
};
/// Those that are told apart from the right one.
std::vector<WrongElement> wrong_elements(const Exercise::Line& line);

}  // namespace chainrule::teaching
