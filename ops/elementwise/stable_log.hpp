#pragma once

#include <chainrule/core/op.hpp>

/// For ops whose logarithm has a stable form; see Op::logarithm().
namespace chainrule {

/// log(x) computed from z, of which an op made x: finite where x itself underflows or overflows.
/// The operands are z and x, the parameters those that x was made with; what is computed is
/// `direct` of z with these parameters, as log_softmax for a softmax. A kind of it gives samples().
class StableLog : public Op {
 public:
  StableLog(const char* name, const Op& direct) : Op(name, "log({1})"), direct_(direct) {}

  void infer(Inference& call) const final;
  void evaluate(Evaluation& call) const final;
  Node::SavedMask reads(const Call& call) const final;
  void vjp(Vjp& r) const final;
  Tensor jvp(Jvp& r) const final;
  Role role(const Parameters& parameters) const final;
  /// What is exact where x underflows.
  Tensor written_out(const Node& node, std::span<const Tensor> inputs) const final;

 private:
  bool comes_from_z(const Evaluation& call) const;

  const Op& direct_;
};

}  // namespace chainrule
