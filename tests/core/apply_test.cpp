#include <doctest/doctest.h>

#include <array>
#include <atomic>
#include <string>
#include <thread>
#include <vector>

#include <chainrule/core/create.hpp>
#include <chainrule/core/observer.hpp>
#include <chainrule/core/op.hpp>
#include <chainrule/core/recording.hpp>
#include <chainrule/graph/backward.hpp>
#include <chainrule/graph/functional.hpp>
#include <chainrule/ops/define.hpp>
#include <chainrule/ops/elementwise/arithmetic.hpp>
#include <chainrule/ops/reduce/reduction.hpp>
#include <chainrule/tests/core/error_of.hpp>

// The common way of an operation: infer, allocate, evaluate, observe, record.

using namespace chainrule;

TEST_SUITE_BEGIN("core");

namespace {

// x and y give x + k y, x ⊗ y and how many elements they have; x ⊗ x is computed on the way, and y
// may be left out, which is y = 0. The mathematics is simple so that tests can say what is right.
struct Trio final : Op {
  Trio() : Op("trio") {}
  struct Factor {
    double k = 0;
  };
  void infer(Inference& call) const override {
    const Value& x = call.in(0);
    check_dtype(name(), call.tensor(0), false, call.where());
    if (call.given(1) && !call.in(1).same_shape(x))
      throw ShapeError("trio: shapes differ", call.where());
    call.output_like(x.dtype(), x);
    call.output_like(x.dtype(), x);
    call.output(i64, Shape());
    call.saves(x.dtype(), x.shape());
  }
  void evaluate(Evaluation& call) const override {
    const double k = call.parameters<Factor>().k;
    const double* x = call.in(0).data<double>();
    for (std::int64_t i = 0; i < call.in(0).numel(); ++i) {
      const double y = call.given(1) ? call.in(1).data<double>()[i] : 0;
      call.out(0).data<double>()[i] = x[i] + k * y;
      call.out(1).data<double>()[i] = x[i] * y;
      call.saved(0).data<double>()[i] = x[i] * x[i];
    }
    *call.out(2).data<std::int64_t>() = call.in(0).numel();
  }
  Node::SavedMask reads(const Call&) const override {
    return Node::input(0) | Node::input(1) | Node::intermediate(0) | Node::output_at(1);
  }
  void vjp(Vjp& r) const override {
    const double k = r.parameters<Factor>().k;
    if (r.needs(0)) {
      Tensor gradient = r.has_g(0) ? r.g(0) : zeros_like(r.g(1));
      if (r.has_g(1) && r.given(1)) gradient = gradient + r.g(1) * r.in(1);
      r.give(0, gradient);
    }
    if (r.given(1) && r.needs(1)) {
      Tensor gradient = r.has_g(0) ? r.g(0) * k : zeros_like(r.g(1));
      if (r.has_g(1)) gradient = gradient + r.g(1) * (r.saved(0) / r.in(0));
      r.give(1, gradient);
    }
  }
  Tensor jvp(Jvp& r) const override {
    Tensor sum;
    if (r.output() == 0) {
      if (r.has(0)) add_to(sum, r.tangent(0));
      if (r.has(1)) add_to(sum, r.tangent(1) * r.parameters<Factor>().k);
    } else {
      if (r.has(0)) add_to(sum, r.tangent(0) * r.in(1));
      if (r.has(1)) add_to(sum, r.tangent(1) * (r.out(1) / r.in(1)));
    }
    return sum;
  }
  std::vector<Sample> samples() const override { return {}; }

  std::vector<Tensor> operator()(const Tensor& x, const Tensor& y, double k = 3) const {
    const std::array operands{&x, &y};
    return apply_several(*this, operands, Factor{k}, Where::current());
  }
};

using Numbers = std::vector<double>;
Tensor leaf(std::initializer_list<double> numbers) { return tensor(numbers, f64).requires_grad_(); }

}  // namespace

TEST_CASE("apply_several: results, of which those that are floating have nodes") {
  const Trio trio;
  const std::int64_t before = live_nodes();
  {
    const Tensor x = leaf({1, 2}), y = leaf({5, 7});
    const std::vector<Tensor> out = trio(x, y);
    REQUIRE(out.size() == 3);
    CHECK(out[0].to_vector<double>() == Numbers{16, 23});
    CHECK(out[1].to_vector<double>() == Numbers{5, 14});
    CHECK(out[2].item<int>() == 2);
    CHECK(out[0].requires_grad());
    CHECK(out[1].requires_grad());
    CHECK(out[2].node() == nullptr);
    CHECK(out[0].node() != out[1].node());
    CHECK(out[1].node()->is_output());
    CHECK(out[1].node()->output_index() == 1);
    REQUIRE(out[1].node()->inputs().size() == 1);
    const Node& application = *out[1].node()->inputs()[0];
    CHECK(application.op() == &trio);
    CHECK(application.output_count() == 3);
    CHECK(application.given(1));
    // Each has a name of its own.
    CHECK(out[0].named("sum").name() == "sum");
    CHECK(out[1].name().empty());
    CHECK_FALSE(no_grad([&] { return trio(x, y); })[0].requires_grad());
  }
  CHECK(live_nodes() == before);
}

TEST_CASE("apply_several: gradients of each result, of both, and through one that is gone") {
  const Trio trio;
  const std::int64_t before = live_nodes();
  {
    const Tensor x = leaf({1, 2}), y = leaf({5, 7});
    const auto gradients = [&](const Tensor& of) {
      const std::vector<Tensor> found = grad(of, {x, y});
      return std::array{found[0].to_vector<double>(), found[1].to_vector<double>()};
    };
    CHECK(gradients(sum(trio(x, y)[0])) == std::array{Numbers{1, 1}, Numbers{3, 3}});
    CHECK(gradients(sum(trio(x, y)[1])) == std::array{Numbers{5, 7}, Numbers{1, 2}});
    const std::vector<Tensor> out = trio(x, y);
    CHECK(gradients(sum(out[0] * out[1])) ==
          std::array{Numbers{5 + 16 * 5, 14 + 23 * 7}, Numbers{3 * 5 + 16, 3 * 14 + 23 * 2}});
    // Of the results themselves, as intermediates.
    const std::vector<Tensor> again = trio(x, y);
    const std::vector<Tensor> of = grad(sum(again[0] * again[1]), {again[0], again[1]});
    CHECK(of[0].to_vector<double>() == Numbers{5, 14});
    CHECK(of[1].to_vector<double>() == Numbers{16, 23});
    // Both results used several times.
    const std::vector<Tensor> third = trio(x, y);
    sum(third[0] + third[1] + third[1]).backward();
    CHECK(x.grad().to_vector<double>() == Numbers{11, 15});
  }
  CHECK(live_nodes() == before);
}

TEST_CASE("apply_several: an operand that was left out") {
  const Trio trio;
  const Tensor x = leaf({1, 2});
  const std::vector<Tensor> out = trio(x, {});
  CHECK(out[0].to_vector<double>() == Numbers{1, 2});
  CHECK_FALSE(out[0].node()->inputs()[0]->given(1));
  CHECK(out[0].node()->inputs()[0]->given(0));
  CHECK(grad(sum(out[0]), x).to_vector<double>() == Numbers{1, 1});
  CHECK(error_of<ValueError>([&] { trio({}, x); }, 100)
            .starts_with("trio: operand 0 is an undefined tensor"));
}

TEST_CASE("apply_several: second order, and forward mode") {
  const Trio trio;
  const Tensor x = leaf({1, 2}), y = leaf({5, 7});
  // ∂/∂y of Σ (x ⊗ y)²⊗… : with p = x ⊗ y, d(Σ p²)/dx = 2 p ⊗ y = 2 x y², whose y-derivative is 4 x
  // y.
  const Tensor p = trio(x, y)[1];
  const Tensor dx = grad(sum(p * p), x, {.create_graph = true});
  CHECK(dx.to_vector<double>() == Numbers{50, 196});
  CHECK(grad(sum(dx), y).to_vector<double>() == Numbers{20, 56});
  for (const std::size_t k : {0U, 1U}) {
    const auto f = [&](std::span<const Tensor> in) { return trio(in[0], in[1])[k]; };
    const std::vector<Tensor> at{x.detach(), y.detach()};
    const std::vector<Tensor> t{tensor({0.5, -1.0}, f64), tensor({2.0, 1.0}, f64)};
    const auto [value, tangent] = jvp(f, at, t);
    CHECK(tangent.to_vector<double>() ==
          (k == 0 ? Numbers{0.5 + 6, -1.0 + 3} : Numbers{0.5 * 5 + 2, -7.0 + 2}));
  }
}

TEST_CASE(
    "apply_several: a rule that reads a result finds the node that others hold, or a new one") {
  const Trio trio;
  const std::int64_t before = live_nodes();
  {
    const Tensor x = leaf({1, 2}), y = leaf({5, 7});
    std::vector<Tensor> out = trio(x, y);
    const Ref<Node> application = Ref<Node>::share(out[0].node()->inputs()[0]);
    CHECK(Node::output_of(application, 1, *out[1].value_ref()).get() == out[1].node());
    out.pop_back();
    out.pop_back();  // nobody holds output 1
    const Ref<Node> anew = Node::output_of(application, 1, *application->saved_output(1));
    CHECK(anew->output_index() == 1);
    CHECK(anew->requires_grad());
  }
  CHECK(live_nodes() == before);
}

TEST_CASE("apply_several: the node of a result goes on one thread while another one finds it") {
  const Trio trio;
  const std::int64_t before = live_nodes();
  for (int round = 0; round < 300; ++round) {
    const Tensor x = leaf({1, 2}), y = leaf({5, 7});
    std::vector<Tensor> out = trio(x, y);
    const Ref<Node> application = Ref<Node>::share(out[0].node()->inputs()[0]);
    const Ref<Value> value = out[1].value_ref();
    Tensor mine = out[1], others = std::move(out[1]);  // the last two handles of its node
    out.clear();
    std::atomic<int> ready{0};
    std::atomic<int> wrong{0};
    const auto come_and_go = [&](Tensor& last) {
      ++ready;
      while (ready < 2) {
      }
      last = {};
      for (int i = 0; i < 20; ++i) {
        const Ref<Node> node = Node::output_of(application, 1, *value);
        if (node->inputs()[0] != application.get() || node->output_index() != 1) ++wrong;
      }
    };
    std::thread other([&] { come_and_go(others); });
    come_and_go(mine);
    other.join();
    REQUIRE(wrong == 0);
  }
  CHECK(live_nodes() == before);
}

TEST_CASE("apply: an op whose reads() names what a call does not have is told so") {
  struct Greedy final : Op {
    explicit Greedy(Node::SavedMask all) : Op("greedy"), mask(all) {}
    Node::SavedMask mask;
    void infer(Inference& call) const override { call.output_like(f64, call.in(0)); }
    void evaluate(Evaluation& call) const override {
      for (std::int64_t i = 0; i < call.out().numel(); ++i) call.out().data<double>()[i] = 1;
    }
    Node::SavedMask reads(const Call&) const override { return mask; }
    std::vector<Sample> samples() const override { return {}; }
  };
  const std::int64_t before = live_nodes();
  {
    const Tensor x = leaf({1, 2});
    for (const Node::SavedMask mask :
         {Node::input(1), Node::input(47), Node::output_at(1), Node::intermediate(0)}) {
      const Greedy greedy(mask);
      CHECK(error_of<GradError>([&] {
              apply(greedy, {&x}, {}, Where::current());
            }).starts_with("greedy: reads() names what the op does not have"));
    }
    const Greedy modest(Node::input(0) | Node::output);
    CHECK(apply(modest, {&x}, {}, Where::current()).requires_grad());
  }
  CHECK(live_nodes() == before);
}

TEST_CASE("apply: observers see one application, with all its results") {
  struct Seen final : Observer {
    int applications = 0;
    std::size_t outputs = 0, inputs = 0;
    void applied(Ref<Node> application, Operands in, std::span<const Ref<Value>> results) override {
      ++applications;
      outputs = results.size();
      inputs = in.size();
      CHECK(application->parameters<Trio::Factor>().k == 3);
    }
  } seen;
  const Trio trio;
  const Tensor x = leaf({1, 2});
  {
    const Observing observing(seen);
    trio(x, x);
  }
  CHECK(seen.applications == 1);
  CHECK(seen.outputs == 3);
  CHECK(seen.inputs == 2);
}

TEST_CASE("apply_again: with other operands of other shapes, and into memory that is handed in") {
  const Trio trio;
  const Tensor x = leaf({1, 2}), y = leaf({5, 7});
  const Tensor sum_of = trio(x, y)[0];
  const Node& application = *sum_of.node()->inputs()[0];
  const std::vector<Tensor> longer{tensor({1.0, 2.0, 3.0}, f64), tensor({4.0, 5.0, 6.0}, f64)};
  CHECK(apply_again(application, longer, 1).to_vector<double>() == Numbers{4, 10, 18});
  const std::vector<Tensor> misfit{longer[0], y.detach()};
  CHECK_THROWS_AS(apply_again(application, misfit), ShapeError);

  std::vector<Ref<Value>> results(3);
  apply_again_into(results, application, longer);
  const std::vector<Value*> places{results[0].get(), results[1].get(), results[2].get()};
  const std::vector<Tensor> others{tensor({2.0, 2.0, 2.0}, f64), longer[1]};
  apply_again_into(results, application, others);
  for (std::size_t k = 0; k < 3; ++k) CHECK(results[k].get() == places[k]);
  CHECK(Tensor(results[1]).to_vector<double>() == Numbers{8, 10, 12});
  // What somebody else holds is not written over.
  const Tensor held(results[0]);
  apply_again_into(results, application, longer);
  CHECK(results[0].get() != held.value_ref().get());
  CHECK(held.to_vector<double>() == Numbers{14, 17, 20});
  const std::vector<Tensor> recorded{x, y};
  apply_again_into(results, application, recorded);  // of another shape than the memory
  CHECK(Tensor(results[0]).to_vector<double>() == Numbers{16, 23});
}

namespace {

// 2 x, with a mistake.
struct Mistaken final : Op {
  enum class Kind : std::uint32_t {
    gives_to_another,
    gives_rows_to_another,
    gives_rows_unasked,
    reads_no_tangent,
    tangent_of_another_dtype,
    tangent_of_another_shape,
    writes_another_result,
    writes_what_is_not_saved,
    result_behind_saved,
  };
  Mistaken() : Op("mistaken") {}
  static Kind kind(const Parameters& p) { return p.as<Kind>(); }
  void infer(Inference& call) const override {
    if (kind(call.parameters()) == Kind::result_behind_saved) call.saves(f64, {});
    call.output_like(call.in(0).dtype(), call.in(0));
  }
  void evaluate(Evaluation& call) const override {
    const Kind mistake = kind(call.parameters());
    if (mistake == Kind::writes_another_result) call.out(1);
    if (mistake == Kind::writes_what_is_not_saved) call.saved(0);
    const Ref<Value> x = kernels::contiguous(call.in_ref(0));
    for (std::int64_t i = 0; i < x->numel(); ++i)
      call.out().data<double>()[i] = 2 * x->data<double>()[i];
  }
  void vjp(Vjp& r) const override {
    const Kind mistake = kind(r.node().parameters());
    if (mistake == Kind::gives_rows_to_another) r.give_rows(5, tensor({0}), r.g());
    if (mistake == Kind::gives_rows_unasked) r.give_rows(0, tensor({0}), r.g());
    r.give(5, r.g());
  }
  Tensor jvp(Jvp& r) const override {
    switch (kind(r.node().parameters())) {
      case Kind::reads_no_tangent:
        return r.tangent(1);
      case Kind::tangent_of_another_dtype:
        return zeros({2}, f32);
      case Kind::tangent_of_another_shape:
        return zeros({7}, f64);
      default:
        return r.tangent(0) * 2;
    }
  }
  std::vector<Sample> samples() const override { return {}; }
};

}  // namespace

TEST_CASE("apply: what an op's author may do wrong is told in the op's name") {
  const Mistaken op;
  using enum Mistaken::Kind;
  Tensor x = tensor({1.0, 2.0}, f64).requires_grad_();
  const auto applied = [&](Mistaken::Kind kind, const Tensor& to) {
    return apply(op, {&to}, kind, Where::current());
  };
  const auto message = [&](Mistaken::Kind kind) {
    return error_of<GradError>([&] { applied(kind, x); });
  };
  CHECK(message(writes_another_result)
            .starts_with("mistaken: evaluate() asks for out(1), but infer() says 1 result, counted "
                         "from 0\n"));
  CHECK(
      message(writes_what_is_not_saved)
          .starts_with("mistaken: evaluate() asks for saved(0), but infer() says no saved values, "
                       "counted from 0\n"));
  CHECK(message(result_behind_saved)
            .starts_with("mistaken: infer() says a result behind a saved value\n"));
  CHECK(error_of<GradError>([&] { sum(applied(gives_to_another, x)).backward(); })
            .starts_with("mistaken: its vjp rule gives a gradient for input 5, but it was applied "
                         "to 1\n"));
  const auto gradient = [&](Mistaken::Kind kind) {
    return error_of<GradError>([&] { grad(sum(applied(kind, x)), x); });
  };
  CHECK(gradient(gives_rows_to_another)
            .starts_with("mistaken: its vjp rule gives a gradient for input 5, but it was applied "
                         "to 1\n"));
  CHECK(
      gradient(gives_rows_unasked)
          .starts_with("mistaken: its vjp rule gives rows for input 0 where they are not taken\n"));
  const auto forward = [&](Mistaken::Kind kind) {
    return [&, kind] { jvp([&](const Tensor& at) { return applied(kind, at); }, x, x); };
  };
  CHECK(error_of<GradError>(forward(reads_no_tangent))
            .starts_with("mistaken: its jvp rule reads the tangent of input 1, which has none\n"));
  CHECK(error_of<DTypeError>(forward(tangent_of_another_dtype))
            .find("hint: a tangent has the dtype of the result: to(tangent, f64)") !=
        std::string::npos);
  CHECK(error_of<DTypeError>(forward(tangent_of_another_dtype))
            .starts_with("mistaken: its jvp rule gives f32 for a result that is f64\n"));
  CHECK(error_of<ShapeError>(forward(tangent_of_another_shape))
            .starts_with("mistaken: its jvp rule gives a tangent (7,) for a result (2,)\n"));
}

namespace {

// As many copies of x as the parameters say; the last one is read by the rule.
struct Copies final : Op {
  Copies() : Op("copies") {}
  struct Count {
    std::int64_t n = 0;
  };
  void infer(Inference& call) const override {
    for (std::int64_t k = 0; k < call.parameters<Count>().n; ++k) call.output_like(f64, call.in(0));
  }
  void evaluate(Evaluation& call) const override {
    for (std::int64_t k = 0; k < call.parameters<Count>().n; ++k)
      kernels::copy(call.out(static_cast<std::size_t>(k)), call.in(0));
  }
  Node::SavedMask reads(const Call& call) const override {
    return Node::output_at(static_cast<std::size_t>(call.parameters<Count>().n - 1));
  }
  void vjp(Vjp& r) const override {
    const auto n = static_cast<std::size_t>(r.parameters<Count>().n);
    Tensor sum;
    for (std::size_t k = 0; k < n; ++k)
      if (r.has_g(k)) add_to(sum, r.g(k));
    r.give(0, sum * r.out(n - 1) / r.out(n - 1));
  }
  std::vector<Sample> samples() const override { return {}; }
};

}  // namespace

TEST_CASE("apply_several: as many results as the parameters say") {
  const Copies op;
  Tensor x = tensor({1.0, 2.0}, f64).requires_grad_();
  const Tensor* const in[] = {&x};
  for (const std::int64_t n : {1, 2, 8}) {
    x.zero_grad();
    const std::vector<Tensor> copies = apply_several(op, in, Copies::Count{n}, Where::current());
    REQUIRE(copies.size() == static_cast<std::size_t>(n));
    sum(copies.back() * copies.front()).backward();
    CHECK(x.grad().to_vector<double>() == std::vector<double>{2, 4});
  }
  // The ninth result cannot be saved, and is not taken for something else.
  CHECK(error_of<GradError>([&] { apply_several(op, in, Copies::Count{9}, Where::current()); })
            .starts_with("copies: reads() names more than a node keeps: the first 48 operands, 8 "
                         "results and 8 saved values\n  at "));
  const std::vector<Tensor> eight = apply_several(op, in, Copies::Count{8}, Where::current());
  CHECK(error_of<GradError>([&] {
          apply_again(*eight[0].node()->inputs()[0], std::vector{x}, 8);
        }).starts_with("apply_again: copies has no result 8\n"));
}

TEST_CASE("ops: two of one name are an error") {
  const Trio trio;
  CHECK(error_of<ValueError>([] {
          Trio();
        }).starts_with("op: there is an operation called trio already"));
  struct Sign final : Op {  // a user's softsign, say
    Sign() : Op("sign") {}
    std::vector<Sample> samples() const override { return {}; }
  };
  CHECK(error_of<ValueError>([] {
          Sign();
        }).starts_with("op: there is an operation called sign already"));
  CHECK(error_of<ValueError>([] { Sign(); }).find("choose another one") != std::string::npos);
}

TEST_CASE("parameters: larger than 64 KiB, equal by value") {
  struct Table {
    std::array<double, 9000> numbers{};
  };
  struct Lookup final : Op {
    Lookup() : Op("lookup") {}
    void infer(Inference& call) const override { call.output(f64, Shape()); }
    void evaluate(Evaluation& call) const override {
      *call.out().data<double>() =
          call.parameters<Table>().numbers[8999] * *call.in(0).data<double>();
    }
    void vjp(Vjp& r) const override { r.give(0, r.g() * r.parameters<Table>().numbers[8999]); }
    std::vector<Sample> samples() const override { return {}; }
  };
  const Lookup lookup;
  Table table;
  table.numbers.fill(0.1);
  const Tensor x = tensor(2.0, f64).requires_grad_();
  const Tensor y = apply(lookup, {&x}, table, Where::current());
  CHECK(y.node()->parameter_size() == 72'000);
  for (const double number : y.node()->parameters<Table>().numbers) REQUIRE(number == 0.1);
  CHECK(grad(y, x).item() == 0.1);
  const Table same = table;
  CHECK(Parameters(same) == Parameters(table));
  table.numbers[17] = 0.2;
  CHECK_FALSE(Parameters(same) == Parameters(table));
  CHECK(Parameters(Shape{2, 3}).shape() == Shape{2, 3});
}

TEST_SUITE_END();
