#pragma once

#include <string>
#include <vector>

#include <chainrule/graph/derivation/chain.hpp>
#include <chainrule/graph/teaching/listing.hpp>

namespace chainrule::teaching {

/// Three steps towards a formula: which tensors it is made of, which rule gives it, and what form
/// it has.
std::vector<std::string> hints_for(Listing& listing, const derivation::Chain::Link& link);

}  // namespace chainrule::teaching
