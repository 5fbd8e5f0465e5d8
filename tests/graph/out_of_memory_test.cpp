// One allocation fails, each in turn: what was called ends in an exception, nothing is lost or
// changed, and the next call is right. Memory for tensors and nodes, and that of containers and
// texts; without pools (in the sanitizers' build) each block for itself.
#include <doctest/doctest.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <exception>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <new>
#include <span>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include <chainrule/core/allocator.hpp>
#include <chainrule/core/create.hpp>
#include <chainrule/core/memory/system.hpp>
#include <chainrule/core/print.hpp>
#include <chainrule/core/random.hpp>
#include <chainrule/graph/backward.hpp>
#include <chainrule/graph/checking/check_derivation.hpp>
#include <chainrule/graph/derivation/derive.hpp>
#include <chainrule/graph/emission/emit.hpp>
#include <chainrule/graph/functional.hpp>
#include <chainrule/graph/gradcheck.hpp>
#include <chainrule/graph/picture/picture.hpp>
#include <chainrule/graph/teaching/exercise.hpp>
#include <chainrule/graph/teaching/practise.hpp>
#include <chainrule/nn/layers/activations.hpp>
#include <chainrule/nn/layers/layer_norm.hpp>
#include <chainrule/nn/layers/linear.hpp>
#include <chainrule/nn/layers/sequential.hpp>
#include <chainrule/nn/losses/losses.hpp>
#include <chainrule/nn/optim/adam.hpp>
#include <chainrule/nn/optim/sgd.hpp>
#include <chainrule/nn/print.hpp>
#include <chainrule/ops/elementwise/activations.hpp>
#include <chainrule/ops/elementwise/arithmetic.hpp>
#include <chainrule/ops/elementwise/convert.hpp>
#include <chainrule/ops/elementwise/functions.hpp>
#include <chainrule/ops/elementwise/select.hpp>
#include <chainrule/ops/linalg/matmul.hpp>
#include <chainrule/ops/reduce/reduction.hpp>
#include <chainrule/ops/shape/gather.hpp>
#include <chainrule/ops/shape/join.hpp>
#include <chainrule/ops/shape/manipulation.hpp>
#include <chainrule/tests/core/count_malloc.hpp>
#include <chainrule/tests/core/error_of.hpp>

using namespace chainrule;

TEST_SUITE_BEGIN("graph");

namespace {

// Which request for memory of tensors and nodes fails, counted from 1; 0: none.
std::int64_t failing = 0, requests = 0;

struct FailMemory {
  explicit FailMemory(std::int64_t request) {
    failing = request;
    requests = 0;
    memory::system_refuses = []() noexcept {
      ++requests;
      // What is refused once is asked for again when all that is kept has been given back.
      return requests == failing || requests == failing + 1;
    };
  }
  FailMemory(const FailMemory&) = delete;
  FailMemory& operator=(const FailMemory&) = delete;
  ~FailMemory() { memory::system_refuses = nullptr; }
  bool failed() const { return requests >= failing; }
};

struct Outcome {
  int failures = 0, unnamed = 0;
  std::map<std::string, int> messages;
};

// Calls f() with every request failing in turn, at most `most` of them evenly spread; f() returns
// what it computed, which is right when the failure was survived. `clean` removes what a call that
// failed may leave by right: gradients.
template <class Fail, class F, class Clean>
Outcome fail_each(F f, Clean clean, std::int64_t most) {
  Outcome outcome;
  const std::string right = f();
  clean();
  const std::int64_t live = memory_stats().live_bytes;
  std::int64_t count = 1, step = 1;
  {
    trim_memory();
    const Fail counting(std::int64_t{1} << 40);
    const CountMalloc malloc_calls;
    f();
    clean();
    count = std::is_same_v<Fail, FailMemory> ? requests : malloc_calls.calls();
    step = std::max<std::int64_t>(1, count / most);
  }
  for (std::int64_t request = 1; request <= count; request += request <= 50 ? 1 : step) {
    CAPTURE(request);
    trim_memory();
    bool failed = false;
    std::string got;
    {
      const Fail fail(request);
      try {
        got = f();
      } catch (const MemoryError& error) {
        failed = true;
        const std::string text = error.what();
        ++outcome.messages[text];
        outcome.unnamed += text.find(": ") == text.npos || text.find("\n  at ") == text.npos;
      } catch (const std::bad_alloc&) {
        failed = true;  // of a container of the program's own, or of a text that it asked for
      }
    }
    outcome.failures += failed;
    if (!failed) CHECK(got == right);
    clean();
    CHECK(memory_stats().live_bytes == live);
    CHECK(f() == right);
    clean();
    CHECK(memory_stats().live_bytes == live);
  }
  return outcome;
}

// With the memory of tensors failing, and with malloc, where the test program has it.
template <class F, class Clean>
void check_survives(F f, std::int64_t most, Clean clean) {
  const auto check = [](const Outcome& outcome) {
    CHECK(outcome.failures > 0);
    for (const auto& [text, times] : outcome.messages) {
      CAPTURE(text);
      CAPTURE(times);
      CHECK(text.find("\n  at ") != text.npos);      // names the line,
      CHECK(text.find("\n  at ops/") == text.npos);  // and not that of a rule
      CHECK(text.find("\n  at graph/accumulate") == text.npos);
    }
    CHECK(outcome.unnamed == 0);
  };
  check(fail_each<FailMemory>(f, clean, most));
  if (CountMalloc::available) check(fail_each<FailMalloc>(f, clean, most));
}

template <class F>
void check_survives(F f, std::int64_t most) {
  check_survives(f, most, [] {});
}

// What stays as it is from call to call.
struct Model {
  Generator generator{3};
  nn::Sequential layers{nn::Linear(6, 5, {.generator = &generator}), nn::Tanh(), nn::LayerNorm(5),
                        nn::Linear(5, 3, {.generator = &generator})};
  Tensor x = randn({7, 6}, generator), labels = randint(0, 3, {7}, generator);
  Tensor loss() { return nn::CrossEntropyLoss()(layers(x), labels); }
};

std::string text_of(const std::vector<Tensor>& tensors) {
  double total = 0;
  for (const Tensor& each : tensors) total += sum(each).item();
  return std::to_string(total);
}

}  // namespace

TEST_CASE("out of memory: a step of training") {
  Model model;
  const std::vector<Tensor> parameters = model.layers.parameters();
  std::vector<Tensor> before;
  for (const Tensor& each : parameters) before.push_back(each * 1.0);
  check_survives(
      [&] {
        nn::Adam optimizer(parameters, 0.01);
        for (std::size_t i = 0; i < parameters.size(); ++i)
          std::ranges::copy(before[i].data<float>(),
                            Tensor(parameters[i]).mutable_data<float>().begin());
        for (int i = 0; i < 2; ++i) {
          model.layers.zero_grad();
          model.loss().backward();
          optimizer.step();
        }
        return text_of(parameters);
      },
      400, [&] { model.layers.zero_grad(); });
}

TEST_CASE("out of memory: a failed backward leaves the gradients that were there") {
  Model model;
  const std::vector<Tensor> parameters = model.layers.parameters();
  for (std::int64_t request = 1; request < 60; ++request) {
    model.layers.zero_grad();
    model.loss().backward();
    std::vector<std::vector<float>> before;
    for (const Tensor& each : parameters) before.push_back(each.grad().to_vector<float>());
    const Tensor loss = model.loss();
    trim_memory();
    bool failed = false;
    {
      const FailMemory fail(request);
      try {
        loss.backward({.create_graph = true});  // what adds nothing in place
      } catch (const MemoryError&) {
        failed = true;
      }
    }
    for (std::size_t i = 0; failed && i < parameters.size(); ++i)
      CHECK(parameters[i].grad().to_vector<float>() == before[i]);
    model.layers.zero_grad();
  }
}

TEST_CASE("out of memory: gradients, forward mode, and look-ups in a large table") {
  const Tensor w = randn({3000, 8}, f64).requires_grad_(), x = randn({40, 8}, f64);
  const Tensor y = x.detach().requires_grad_(), index = randint(0, 3000, {5});
  check_survives(
      [&] {
        sum(take(w, index) * 2.0).backward();
        std::string text = text_of({w.grad()});
        const Tensor g = grad(sum(sigmoid(matmul(x, w.T()))), w, {.create_graph = true});
        text += text_of({grad(sum(g * g), w)});
        text += text_of({grad(sum(maximum(y, y * 0.5) + softplus(y)), y)});
        text += text_of({jvp([](const Tensor& t) { return t * sigmoid(t); }, x, x).second});
        return text;
      },
      300, [&] { Tensor(w).zero_grad(); });
}

namespace {

// With every request for memory failing in turn, in a call that makes nothing for the caller but
// its result: an error that names a line of this file, and no other exception.
template <class Prepare, class F>
void check_names(const std::string& what, Prepare prepare, F f) {
  CAPTURE(what);
  if (!CountMalloc::available) return;
  int failures = 0;
  for (std::int64_t request = 1; request < 20'000; request += request < 300 ? 1 : 97) {
    auto prepared = prepare();
    std::string text = "nothing failed";
    std::exception_ptr thrown;
    bool reached = false;
    {
      const FailMalloc fail(request);
      try {
        f(prepared);
      } catch (...) {
        thrown = std::current_exception();
      }
      reached = fail.failed();
    }
    if (!reached) break;
    try {
      if (thrown) std::rethrow_exception(thrown);
    } catch (const Error& error) {  // a file that cannot be written is an IoError, also for this
      text = error.what();
      ++failures;
    } catch (const std::bad_alloc&) {
      text = "std::bad_alloc";
    }
    CAPTURE(request);
    CAPTURE(text);
    // What was refused may have been a hint that is only nice to have.
    const bool named =
        text.find("\n  at ") != text.npos && text.find("out_of_memory_test.cpp:") != text.npos;
    CHECK((named || text == "nothing failed"));
  }
  CHECK(failures > 0);
}

}  // namespace

TEST_CASE("out of memory: whatever is called, the error names it and the line") {
  const auto nothing = [] { return 0; };
  const auto model = [] { return std::make_unique<Model>(); };
  check_names("LayerNorm", nothing, [](int) { nn::LayerNorm layer(20); });
  check_names("Linear", nothing, [](int) { nn::Linear layer(2, 3); });
  check_names("parameters()", model, [](auto& m) { m->layers.parameters(); });
  check_names("named_parameters()", model, [](auto& m) { m->layers.named_parameters(); });
  check_names("to_string()", model, [](auto& m) { m->layers.to_string(); });
  check_names("first call", model, [](auto& m) { m->layers(m->x); });
  const auto parameters = [] { return std::vector<Tensor>{ones({30}).requires_grad_()}; };
  check_names("SGD", parameters, [](auto& p) { nn::SGD(std::move(p), 0.1, {.momentum = 0.9}); });
  check_names("Adam", parameters, [](auto& p) { nn::Adam(std::move(p), 0.1); });
  const auto look_up = [] {
    const Tensor w = ones({5000, 8}).requires_grad_();
    auto sgd = std::make_unique<nn::SGD>(std::vector{w}, 0.1);
    sum(take(w, tensor({3, 4, 3}))).backward();
    return sgd;
  };
  check_names("step() with rows", look_up, [](auto& sgd) { sgd->step(); });
  check_names("gradcheck", nothing, [](int) {
    gradcheck([](std::span<const Tensor> at) { return sum(sigmoid(at[0]) * at[0]); },
              {tensor({0.5, 1.5}, f64)}, {.order = 2});
  });
  const auto report = [] {
    return gradcheck([](std::span<const Tensor> at) { return sum(at[0]); },
                     {tensor({0.5, 1.5}, f64)});
  };
  check_names("GradcheckReport::to_string()", report, [](auto& r) { r.to_string(); });
  check_names("to_string(tensor)", nothing, [](int) { to_string(rand({9, 9})); });
  const auto one = [] { return std::make_unique<Tensor>(ones({1})); };
  check_names("axes", one, [](auto& t) { *t = t->named("x", {"an axis of a longer name"}); });
  check_names("children()", model, [](auto& m) { m->layers.children(); });
  const auto table = [] { return ones({500, 8}).requires_grad_(); };
  check_names("to_vector", table, [](Tensor& t) { t.to_vector<float>(); });
  const auto beyond = [&] { return std::pair(table(), tensor({3, 1'000'000})); };
  check_names("take, of what is not there", beyond, [](auto& p) { take(p.first, p.second); });
  check_names("to, of what is no i64", table, [](Tensor& t) { to(t.detach() / 0.0, i64); });
  check_names("split", table, [](Tensor& t) { split(t, 100); });
  const auto loss = [] {
    const Tensor w = ones({2, 3}, f64).named("w").requires_grad_(), x = ones({3}, f64).named("x");
    return sum(sigmoid(matmul(w, x).named("z")));
  };
  check_names("derive", loss, [](Tensor& l) { derive(l); });
  check_names("emit_cpp", loss, [](Tensor& l) { emit_cpp(l); });
  check_names("graph_svg", loss, [](Tensor& l) { graph_svg(l); });
  check_names("graph_html", loss, [](Tensor& l) { graph_html(l); });
  const auto derivation = [&] { return derive(loss()); };
  check_names("text", derivation, [](Derivation& d) { d.text(); });
  check_names("latex", derivation, [](Derivation& d) { d.latex(); });
  check_names("markdown", derivation, [](Derivation& d) { d.markdown(); });
  check_names("html", derivation, [](Derivation& d) { d.html(); });
  const auto checked = [] {
    const Tensor w = ones({2, 3}, f64).named("w").requires_grad_();
    return check_derivation(sum(sigmoid(w)), {{"dw", w, sigmoid(w)}});
  };
  check_names("text()", checked, [](DerivationReport& r) { r.text(); });
  check_names("markdown()", checked, [](DerivationReport& r) { r.markdown(); });
  check_names("json()", checked, [](DerivationReport& r) { r.json(); });
  const auto exercise = [&] { return make_exercise(loss()); };
  check_names("sheet", exercise, [](Exercise& e) { e.text(true); });
  check_names("page", exercise, [](Exercise& e) { e.html(); });
  struct Terminal {
    Exercise exercise;
    std::istringstream in{"a\nhint\nskip\n"};
    std::ostringstream out{};
  };
  const auto terminal = [&] { return Terminal{exercise()}; };
  check_names("practise", terminal, [](Terminal& t) { practise(t.exercise, t.in, t.out); });
  const std::filesystem::path folder =
      std::filesystem::temp_directory_path() / fmt::format("chainrule_oom_{}", getpid());
  check_names(
      "write", [&] { return emit_cpp(loss()); }, [&](EmittedCode& code) { code.write(folder); });
  std::filesystem::remove_all(folder);
}

TEST_CASE("out of memory: what fmt prints names no line of the library") {
  if (!CountMalloc::available) return;
  Model model;
  int failures = 0;
  for (std::int64_t request = 1; request < 1000; ++request) {
    const FailMalloc fail(request);
    try {
      static_cast<void>(fmt::format("{}", model.layers));
    } catch (const Error& error) {
      ++failures;
      CHECK(std::string(error.what()) == "to_string: no memory");
    } catch (const std::bad_alloc&) {
      // fmt's own
    }
    if (!fail.failed()) break;
  }
  CHECK(failures > 0);
}

TEST_CASE("out of memory: borrowed memory names itself and the line") {
  std::vector<float> numbers(4);
  std::vector<Tensor> held;
  held.reserve(50'000);
  trim_memory();  // what other tests have left is enough for all of them
  const FailMemory fail(1);
  CHECK(error_of<MemoryError>([&] {
          while (held.size() < held.capacity()) held.push_back(borrow(std::span(numbers), {4}));
        }).starts_with("borrow: no memory\n  at HERE"));
}

TEST_CASE("out of memory: an error that has none for its text names the function and the line" *
          doctest::skip(!CountMalloc::available)) {
  const Where here = Where::current();
  const std::string less =
      fmt::format("matmul: no memory\n  at {}:{}", here.file_name(), here.line());
  int failures = 0;
  for (std::int64_t request = 1; request < 20; ++request) {
    try {
      const FailMalloc fail(request);
      throw ShapeError("matmul: inner dimensions differ: W1 (32, 64) · x (1, 64)", here,
                       "x has one row per sample; use matmul(x, W1.T()) or pass x.T()");
    } catch (const MemoryError& error) {
      ++failures;
      CHECK(error.what() == less);
    } catch (const ShapeError&) {
      // All were granted, or what failed is the exception's own, of which there is a reserve.
    }
  }
  CHECK(failures > 2);
}

TEST_CASE("out of memory: where it stays out, files are not written, and nothing of them is left") {
  if (!CountMalloc::available) return;
  const std::filesystem::path folder =
      std::filesystem::temp_directory_path() / fmt::format("chainrule_stays_out_{}", getpid());
  std::filesystem::create_directories(folder);
  const Tensor w = tensor({1.0, 2.0}, f64).named("w").requires_grad_();
  const EmittedCode code = emit_cpp(sum(w * w));
  bool written = false;
  for (std::int64_t call = 1; !written && call < 1000; ++call) {
    try {
      const FailMalloc fail(call, true);
      code.write(folder);
      written = !fail.failed();
    } catch (const std::bad_alloc&) {
    } catch (const Error&) {
    }
    // Their files may be there if all that failed was a buffer that a file does without.
    for (const auto& entry : std::filesystem::directory_iterator(folder))
      CHECK(entry.path().extension() != ".part");
  }
  CHECK(written);
  std::filesystem::remove_all(folder);
}

TEST_CASE("out of memory: Module::zero_grad() asks for none") {
  Model model;
  model.loss().backward();
  const CountMalloc calls;
  model.layers.zero_grad();
  CHECK(calls.calls() == 0);
  for (const Tensor& each : model.layers.parameters()) CHECK_FALSE(each.grad().defined());
}

TEST_CASE("out of memory: derivations, their check, emitted code and pictures") {
  Model model;
  const Tensor w = randn({4, 3}, f64).named("w").requires_grad_(),
               x = randn({5, 4}, f64).named("x");
  const auto loss = [&] { return sum(sigmoid(matmul(x, w))); };
  SUBCASE("derive") {
    check_survives([&] { return derive(loss()).text(); }, 150);
  }
  SUBCASE("check_derivation") {
    check_survives(
        [&] {
          const Tensor s = sigmoid(matmul(x, w));
          const DerivationReport check =
              check_derivation(sum(s), {{"w", w, matmul(x.T(), s * (1.0 - s))}});
          return std::to_string(check.ok());
        },
        150);
  }
  SUBCASE("check_derivation of a wrong formula") {
    check_survives(
        [&] {
          const Tensor s = sigmoid(matmul(x, w));
          return check_derivation(sum(s), {{"w", w, matmul(x.T(), s * s * (1.0 - s))}}).text();
        },
        150);
  }
  SUBCASE("make_exercise") {
    const Tensor z = matmul(x, w).named("z");
    check_survives([&] { return make_exercise(sum(square(sigmoid(z)))).text(true); }, 150);
  }
  SUBCASE("what a module is") {
    if (CountMalloc::available) {
      const Outcome outcome =
          fail_each<FailMalloc>([&] { return model.layers.to_string(); }, [] {}, 1000);
      CHECK(outcome.failures > 0);
      CHECK(outcome.unnamed == 0);
    }
  }
  SUBCASE("emit_cpp") {
    check_survives([&] { return emit_cpp(loss(), {.name = "model"}).header; }, 150);
  }
  SUBCASE("graph_svg") {
    check_survives([&] { return graph_svg(loss()); }, 150);
  }
}

TEST_SUITE_END();
