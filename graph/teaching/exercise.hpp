#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include <chainrule/core/tensor.hpp>
#include <chainrule/graph/derivation/derive.hpp>

namespace chainrule {

/// A wrong formula that people are known to write for a gradient.
struct UsualMistake {
  std::string gradient;  ///< which one, as derive() calls it: "dW5"
  std::string formula;   ///< as it is shown: "dz5·(h5)ᵀ"
  std::string why;       ///< what it confuses: said to whoever chooses it
  /// What the formula gives, where that was computed. It is then compared with the right one.
  Tensor value{};
};

struct ExerciseOptions {
  std::string title = "Derive the gradients";
  std::uint64_t seed = 0;  ///< of which wrong formulas are offered, their order, and the elements
  int choices = 4;         ///< formulas to choose from for a gradient, the right one among them
  int blanks = 0;          ///< so many gradients are asked for, the others given; 0: all
  bool elements = true;    ///< whether elements of small gradients are to be computed, too
  /// The gradients of these tensors alone, in the order of the chain. Empty: all that derive() has.
  std::vector<Tensor> of{};
  std::vector<UsualMistake> mistakes{};  ///< offered before those that the library knows of
};

/// A derivation with blanks: the formulas of the gradients of a program, each to be chosen among
/// wrong ones that are explained, with hints, and an element to be computed by hand. All of it is
/// open, so that a teacher may reword hints and change points.
struct Exercise {
  using Written = Derivation::Written;
  /// A formula that is offered.
  struct Choice {
    Written formula;    ///< of a teacher's own its text alone
    Tensor value{};     ///< what it gives, f64; undefined where it cannot be computed, or is text
    std::string why{};  ///< what it confuses; nothing for the right one
  };
  /// An element of the gradient, to be computed by hand.
  struct Element {
    struct Given {
      Written name;
      Tensor value;  ///< f64, rounded as it is shown
    };
    Shape index;
    std::vector<Given> given;  ///< what stands in the formula
    double value = 0;
    double tolerance = 0;  ///< how far an answer may be from it, since what is given is rounded
    int points = 2;
  };
  /// A gradient and its formula.
  struct Line {
    Written gradient;
    Written formula;
    Shape shape;
    std::vector<Choice> choices{};     ///< to choose from; none where the formula is given
    std::size_t right = 0;             ///< which of them it is
    std::vector<std::string> hints{};  ///< which tensors, which rule, which form
    std::optional<Element> element{};
    int points = 0;  ///< one less for each hint and for each wrong answer
  };
  /// A tensor of the program. Results without a name that the derivation needs get one.
  struct Named {
    Written name;
    Written formula;  ///< nothing for parameters and data
    Shape shape;
  };

  std::string title;
  std::vector<Named> program;
  std::vector<Line> lines;                          ///< from the loss backwards
  std::vector<Derivation::Definition> definitions;  ///< what the formulas abbreviate

  /// All that can be had.
  int points() const noexcept;
  /// The exercise on paper, with or without the answers.
  std::string text(bool answers = false, Where where = Where::current()) const;
  /// A page of HTML that asks, explains and counts, and needs no server and no other file. What is
  /// right can be found in its source.
  std::string html(Where where = Where::current()) const;
};

/// Makes an exercise from the recorded program that computed the scalar `loss`. Wrong formulas are
/// those of `mistakes`, and mistakes that check_derivation() knows of, made in the right formula;
/// none gives what the right one gives, or another that is offered, at the recorded values or at
/// others. The same seed makes the same exercise.
///
/// Throws GradError as derive() does, and when derive() has no line for one of `of`. ValueError for
/// fewer than two choices, a negative number of blanks, and for a mistake of a gradient that is not
/// asked for, without a formula or reason, or whose formula is right or stands there twice;
/// DTypeError for one whose value is no floating number. Ask before backward() releases the graph.
Exercise make_exercise(const Tensor& loss, const ExerciseOptions& options = {},
                       Where where = Where::current());

}  // namespace chainrule
