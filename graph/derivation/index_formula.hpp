#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include <chainrule/graph/derivation/text.hpp>

/// Formulas element by element, with a letter for each axis: dWᵢⱼ = Σₙ dzᵢₙ xⱼₙ.
namespace chainrule::derivation {

struct IndexTerm;
/// Immutable and shared.
using IndexFormula = std::shared_ptr<const IndexTerm>;

/// A position on an axis: offset + Σ stride · letter, or what a tensor of positions has there.
struct Index {
  struct Part {
    int letter;
    std::int64_t stride;
    friend bool operator==(const Part&, const Part&) = default;
  };
  std::int64_t offset = 0;
  std::vector<Part> parts{};
  IndexFormula element{};

  static Index of(int letter) { return {0, {{letter, 1}}, {}}; }
  /// One letter as it is.
  bool is_letter() const {
    return !element && offset == 0 && parts.size() == 1 && parts[0].stride == 1;
  }
  bool is_number() const { return !element && parts.empty(); }
};
/// A position on each axis of a tensor; on one of extent 1 that is 0.
using Indices = std::vector<Index>;
/// Those of the axes from `begin` to before `end`.
Indices part_of(const Indices& at, std::size_t begin, std::size_t end);

struct IndexTerm {
  enum class Kind : std::uint8_t {
    symbol,    ///< an element of a tensor, a gradient or a constant, or a number that has a name
    whole,     ///< an element of a formula that is not said by elements: (formula)ᵢⱼ
    number,    ///< `number`
    position,  ///< at[0] as a number
    sum,       ///< of the parts, those that are `subtracted` less
    product,   ///< of the parts and `number`
    quotient,  ///< part 0 by part 1
    square,    ///< of part 0
    total,     ///< Σ of part 0 over `letters`
    call,      ///< the function `text` of part 0 along `letters`: softmaxⱼ(zᵢⱼ)
    notation,  ///< `text` with {0}, {1} … for the parts
  };
  Kind kind;
  Expr expression{};
  Indices at{};
  double number = 1;
  std::string text{};
  std::vector<int> letters{};
  std::vector<IndexFormula> parts{};
  std::vector<bool> subtracted{};
};

/// The letters of one formula. One whose axis is made of two others is split into theirs: where an
/// axis of 12 is one of 3 and one of 4, its letter is 4·i + j.
class Letters {
 public:
  int add(std::int64_t extent);
  std::int64_t extent(int letter) const {
    return letters_[static_cast<std::size_t>(letter)].extent;
  }
  std::size_t size() const { return letters_.size(); }
  /// Into an outer letter and an inner one of the given extent, which divides its own.
  void split(int letter, std::int64_t inner);
  /// With letters that were split replaced by theirs.
  Index resolved(const Index& index) const;
  std::vector<int> resolved(const std::vector<int>& letters) const;
  /// offset + Σ stride · position; nothing where a position is an element and not alone.
  std::optional<Index> combined(std::int64_t offset,
                                std::span<const std::pair<const Index*, std::int64_t>> parts) const;
  /// The position on the outer axis, and on the inner one of this extent; splits letters for that.
  std::optional<std::pair<Index, Index>> divided(const Index& index, std::int64_t inner);

 private:
  struct Letter {
    std::int64_t extent;
    std::int64_t inner = 0;  // the extent of the inner letter; 0: not split
    int first = 0;           // the outer letter, behind which the inner one stands
  };
  std::vector<Letter> letters_;
};

struct IndexEquation {
  IndexFormula left, right;
  IndexFormula whole;  ///< the right side where there are not letters enough
  Letters letters;
};

/// left = formula for one element. `left` is a symbol, or any expression of the formula's shape;
/// the environment gives values to what operations are tried on, to see how they move elements.
IndexEquation index_equation(const Expr& left, const Expr& formula, const Environment& environment);

/// Its two sides. Letters are not those in `taken`, nor the name of a tensor in it, while there are
/// others.
std::pair<std::string, std::string> text_of(const IndexEquation& equation, const Names& names,
                                            Format format, Mark derivative,
                                            std::string_view taken = {});

/// --- how operations move elements; nothing where that has no letters ---

/// Where the operand of a copy, permutation, reshape or slice has what stands at these positions of
/// its result.
std::optional<Indices> source_of(const Expression& move, const Indices& at, Letters& letters);

/// Position `whole[a]` of a scatter's result for positions of the part: offset + stride · position
/// on axis `axis` of the part; axis −1: at the offset alone.
struct Place {
  std::int64_t offset = 0, stride = 0;
  int axis = -1;
};
std::optional<std::vector<Place>> places_of(const Expression& scatter);

/// The axis along which operands are joined; −1 for one operand.
std::optional<int> axis_of_join(const Expression& join);

/// An operation of x and positions c, which takes x at the positions along `axis`, or adds x to
/// zeros there. By element, c has all axes of the part, else its axes stand in the place of `axis`.
struct LookUp {
  int axis;
  bool by_element;
  bool adds;
};
std::optional<LookUp> look_up(const Expression& operation, const Environment& environment);

}  // namespace chainrule::derivation
