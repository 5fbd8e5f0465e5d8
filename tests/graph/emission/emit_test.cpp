#include <doctest/doctest.h>
#include <fmt/format.h>

#include <filesystem>
#include <fstream>
#include <set>
#include <sstream>
#include <string>

#include <chainrule/core/create.hpp>
#include <chainrule/core/op.hpp>
#include <chainrule/core/random.hpp>
#include <chainrule/graph/backward.hpp>
#include <chainrule/graph/derivation/derive.hpp>
#include <chainrule/graph/emission/eigen.hpp>
#include <chainrule/graph/emission/emit.hpp>
#include <chainrule/graph/emission/identifiers.hpp>
#include <chainrule/ops/elementwise/activations.hpp>
#include <chainrule/ops/elementwise/arithmetic.hpp>
#include <chainrule/ops/elementwise/functions.hpp>
#include <chainrule/ops/elementwise/log.hpp>
#include <chainrule/ops/elementwise/select.hpp>
#include <chainrule/ops/linalg/matmul.hpp>
#include <chainrule/ops/nn/softmax.hpp>
#include <chainrule/ops/reduce/reduction.hpp>
#include <chainrule/ops/shape/gather.hpp>
#include <chainrule/ops/shape/indexing.hpp>
#include <chainrule/ops/shape/join.hpp>
#include <chainrule/ops/shape/manipulation.hpp>

using namespace chainrule;

TEST_SUITE_BEGIN("graph");

namespace {

struct Network {
  Tensor x = tensor({{0.5}, {-1.0}, {0.25}}, f64).named("x");
  Tensor y = tensor({{0.0}, {1.0}}, f64).named("y");
  Tensor W1 = tensor({{0.1, -0.4, 0.3}, {0.7, 0.2, -0.6}}, f64).named("W1").requires_grad_();
  Tensor b1 = tensor({{0.05}, {-0.1}}, f64).named("b1").requires_grad_();
  Tensor W2 = tensor({{0.8, -0.3}, {-0.5, 0.9}}, f64).named("W2").requires_grad_();
  Tensor b2 = tensor({{0.2}, {0.1}}, f64).named("b2").requires_grad_();
  Tensor z1 = (matmul(W1, x) + b1).named("z1");
  Tensor h1 = sigmoid(z1).named("h1");
  Tensor z2 = (matmul(W2, h1) + b2).named("z2");
  Tensor p = softmax(z2, 0).named("p");
  Tensor loss = -sum(y * log(p));
};

bool has(const std::string& text, std::string_view part) {
  return text.find(part) != std::string::npos;
}

std::string message_of(const auto& f) {
  try {
    f();
  } catch (const Error& e) {
    return e.what();
  }
  return "nothing was thrown";
}

}  // namespace

TEST_CASE("emit_cpp: forward and backward, a line for each formula") {
  const Network net;
  const EmittedCode code = emit_cpp(net.loss, {.name = "net", .predict = net.p});
  const char* lines[] = {
      "namespace net {",
      "MatrixXd W1;  // (2, 3)",
      "z1 = W1 * x + b1;  // z1 = W1·x + b1",
      "h1 = sigmoid(z1);  // h1 = σ(z1)",
      "z2 = W2 * h1 + b2;  // z2 = W2·h1 + b2",
      "p = softmax_columns(z2);  // p = softmax(z2)",
      "loss = -y.cwiseProduct(log_softmax_columns(z2)).sum();",
      "const MatrixXd dz2 = p - y;  // dz2 = p − y",
      "dW2 = dz2 * h1.transpose();  // dW2 = dz2·(h1)ᵀ",
      "db2 = dz2;  // db2 = dz2",
      "const MatrixXd dh1 = W2.transpose() * dz2;  // dh1 = (W2)ᵀ·dz2",
      "const MatrixXd dz1 = dh1.cwiseProduct(sigmoid_slope(z1));  // dz1 = dh1 ⊗ σ'(z1)",
      "dW1 = dz1 * x.transpose();  // dW1 = dz1·xᵀ",
      "inline MatrixXd predict(const Parameters& parameters, const MatrixXd& x) {",
  };
  for (const std::string line : lines) {
    CAPTURE(line);
    CHECK(has(code.header, line));
  }
  CHECK_FALSE(has(code.header, "#include <chainrule"));
  CHECK(has(code.values, "{\n      0.1, -0.4, 0.3, 0.7, 0.2, -0.6};"));
  CHECK(has(code.test, "#include \"net_values.hpp\""));
  CHECK(has(code.test, "CHECK(equal(gradients.dW1, "));
  // The same graph gives the same text.
  const EmittedCode again = emit_cpp(net.loss, {.name = "net", .predict = net.p});
  CHECK(again.header == code.header);
  CHECK(again.values == code.values);
  CHECK(again.test == code.test);
}

TEST_CASE("emit_cpp: what a program computed from named data without recording is named data") {
  const Tensor y = tensor({0.0, 1.0, 1.0}, f64).named("y");
  const Tensor w = tensor({0.3, -0.2, 0.5}, f64).named("w").requires_grad_();
  const Tensor p = sigmoid(w).named("p");
  const EmittedCode code = emit_cpp(-sum(y * log(p) + (1 - y) * log(1 - p)));
  CHECK(has(code.header, "VectorXd y;  // (3,)"));
  CHECK_FALSE(has(code.header, "c1"));
  CHECK(has(code.header, "(1.0 - y.array())"));
  CHECK(has(code.header, "dw = p - y;"));
}

TEST_CASE("emit_cpp: a mask that the program computed is data, and is said to be") {
  const Network net;
  const Tensor loss = sum(where(net.z1 > 0, net.z1, 0.1 * net.z1));
  CHECK(has(derive(loss).text(), "where c1 = mask (2, 1)\n"));
  const std::string header = emit_cpp(loss).header;
  CHECK(has(header, "  MatrixXd c1;  // (2, 1), a mask\n"));
  CHECK(has(header, "A mask that the program computed from other tensors is given, too"));
  CHECK(!has(emit_cpp(net.loss).header, "mask"));
}

TEST_CASE("emit_cpp: names become identifiers") {
  emission::Identifiers names;
  CHECK(names.make("W1") == "W1");
  CHECK(names.make("W1") == "W1_2");
  CHECK(names.make("0.weight") == "layer_0_weight");
  CHECK(names.make("encoder.fc1.weight") == "encoder_fc1_weight");
  CHECK(names.make("γ") == "gamma");
  CHECK(names.make("above") == "above_2");
  CHECK(names.make("do") == "do_");
  CHECK(names.make("class") == "class_");
  CHECK(names.make("z'") == "z_prime");
  CHECK(names.make("日本") == "x");
  CHECK(names.make("a  b") == "a_b");
  CHECK(names.make("forward") == "forward_2");
  CHECK(names.make("_x") == "x_2");
  CHECK(emission::Identifiers::is_namespace("digits"));
  for (const char* right : {"memory", "strategy", "total", "model_l", "island", "fine", "f1",
                            "f64_buffer", "f32_offsets", "f32add"})
    CHECK(emission::Identifiers::is_namespace(right));
  for (const char* wrong :
       {"",          "2d",           "a b",          "class",  "naïve",  "a-b",   "_x",
        "exp",       "doctest",      "sincos",       "exp2",   "log",    "gamma", "y0",
        "lgammal_r", "fabsf64x",     "pthread_self", "size_t", "strlen", "rsqrt", "select",
        "f32addf64", "f64xsqrtf128", "link",         "sinf128"})
    CHECK_FALSE(emission::Identifiers::is_namespace(wrong));
}

TEST_CASE("emit_cpp: names that would break code, and scalars that look like numbers") {
  const Tensor e = tensor(0.25, f64).named("e").requires_grad_();
  const Tensor odd = tensor(0.5, f64).named("line\nbreak\\").requires_grad_();
  const EmittedCode code = emit_cpp(e * e * odd);
  CHECK(has(code.header, "double line_break;  // line break  ()\n"));
  CHECK(has(code.header, "loss = "));
}

TEST_CASE("emit_cpp: the files") {
  const Network net;
  const auto folder = std::filesystem::temp_directory_path() / "chainrule_emit_test" / "inner";
  const EmittedCode code = emit_cpp(net.loss, {.name = "net"});
  code.write(folder);
  for (const auto& [file, text] : {std::pair{"net.hpp", code.header},
                                   {"net_values.hpp", code.values},
                                   {"net_test.cpp", code.test}}) {
    std::ostringstream written;
    written << std::ifstream(folder / file).rdbuf();
    CHECK(written.str() == text);
  }
  const std::string message = message_of([&] { code.write(folder / "net.hpp" / "below a file"); });
  CHECK(message.starts_with("EmittedCode::write: cannot write "));
  CHECK(has(message, "net.hpp"));
  // The system's reason, and the line; nothing is left half-written, as of a file that is a folder.
  CHECK(has(message, "Not a directory"));
  CHECK(has(message, "emit_test.cpp:"));
  std::filesystem::create_directories(folder / "other" / "net_values.hpp" / "in the way");
  CHECK(has(message_of([&] { code.write(folder / "other"); }), "net_values.hpp"));
  // None of the files has changed or come, where one cannot.
  for (const auto& entry : std::filesystem::directory_iterator(folder / "other"))
    CHECK(entry.path().filename() == "net_values.hpp");
  std::filesystem::remove(folder / "net_test.cpp");
  std::filesystem::create_directories(folder / "net_test.cpp");
  const EmittedCode others = emit_cpp(sum(net.loss * 3.0), {.name = "net"});
  CHECK(has(message_of([&] { others.write(folder); }), "net_test.cpp"));
  std::ostringstream kept;
  kept << std::ifstream(folder / "net.hpp").rdbuf();
  CHECK(kept.str() == code.header);
  // A name that is none, as that of code that was moved from, makes no file.
  const auto nowhere = folder / "nowhere";
  for (const char* name : {"", "../net", "a/b"}) {
    EmittedCode renamed = code;
    renamed.name = name;
    const std::string refused = message_of([&] { renamed.write(nowhere); });
    CHECK(refused.starts_with("EmittedCode::write: \"" + std::string(name) +
                              "\" cannot name the files\n  at "));
    CHECK(has(refused, "emit_test.cpp:"));
    CHECK_FALSE(std::filesystem::exists(nowhere));
  }
  std::filesystem::remove_all(folder.parent_path());
}

TEST_CASE("emit_cpp: clear errors") {
  const Network net;
  CHECK(message_of([&] {
          emit_cpp(net.loss, {.name = "my net"});
        }).starts_with("emit_cpp: \"my net\" cannot name a namespace of C++"));
  CHECK(message_of([&] {
          emit_cpp(net.loss, {.predict = sigmoid(net.z1)});
        }).starts_with("emit_cpp: the loss was not computed from"));
  CHECK(message_of([&] { emit_cpp(net.z1); }).starts_with("emit_cpp: "));
  CHECK(message_of([&] {
          emit_cpp(tensor(1.0, f64).requires_grad_());
        }).find("was not computed from anything") != std::string::npos);
  CHECK(has(message_of([&] { emit_cpp(Tensor()); }), "undefined"));
  CHECK(message_of([&] { emit_cpp(tensor(1.0, f64)); }).starts_with("emit_cpp: "));

  const Tensor cube = ones({2, 2, 2}, f64).requires_grad_();
  const std::string axes = message_of([&] { emit_cpp(sum(cube * cube)); });
  CHECK(axes.starts_with("emit_cpp: mul works on (2, 2, 2), and matrices of Eigen have two axes"));
  CHECK(has(axes, "emit_test.cpp:"));

  const Tensor table = ones({4, 3}, f64).requires_grad_();
  const std::string op = message_of([&] { emit_cpp(sum(square(take(table, tensor({0, 2}), 0)))); });
  CHECK(op.starts_with("emit_cpp: take has no form in Eigen"));
  CHECK(has(op, "emit_test.cpp:"));

  Network used;
  used.loss.backward();
  CHECK(message_of([&] { emit_cpp(used.loss); }).starts_with("emit_cpp: "));
}

TEST_CASE("emit_cpp: what goes into a tensor of one element is a double") {
  const Tensor o = tensor({0.7}, f64).named("o").requires_grad_();
  const Tensor m = tensor({{0.4}}, f64).named("m").requires_grad_();
  const Tensor v = tensor({0.1, 0.2, 0.3}, f64).named("v").requires_grad_();
  const auto header = [](const Tensor& loss) { return emit_cpp(loss).header; };
  for (const Tensor& loss : {exp(o[0]), exp(m(0, 0)), sum(square(sin(v)), 0, true)[0] * 2.0,
                             sum(square(concat({o, zeros({0}, f64)})))}) {
    const std::string text = header(loss);
    CAPTURE(text);
    CHECK_FALSE(has(text, "placed("));
    CHECK_FALSE(has(text, "above("));
    CHECK_FALSE(has(text, "Constant("));
  }
  CHECK(has(header(exp(o[0])), "  do_ = "));
  CHECK(has(header(sum(softmax(o) * o)), "softmax_columns(MatrixXd::Constant(1, 1, o))(0, 0)"));
}

TEST_CASE("emit_cpp: the gradient of a slice with a step stands in its places") {
  const Tensor v = tensor({0.1, 0.2, 0.3, 0.4, 0.5}, f64).named("v").requires_grad_();
  const Tensor m = reshape(sin(arange(0, 20, 1, f64)), {4, 5}).detach().named("m").requires_grad_();
  const auto header = [](const Tensor& loss) { return emit_cpp(loss).header; };
  CHECK(has(header(sum(square(slice(v, 0, 1, 5, 2)))), "placed_apart("));
  CHECK(has(header(sum(square(slice(slice(m, 0, 1, 4, 2), 1, 0, 5, 3)))), "placed_apart("));
  CHECK_FALSE(has(header(sum(square(slice(v, 0, 1, 4)))), "placed_apart"));
}

TEST_CASE("emit_cpp: a long chain") {
  Tensor x = tensor(0.3, f64).named("x").requires_grad_();
  Tensor y = x;
  for (int i = 0; i < 2000; ++i) y = y * 0.999;
  const EmittedCode code = emit_cpp(y * x);
  CHECK(has(code.header, "const double"));
  CHECK(has(code.header, "dx = "));
  std::istringstream lines(code.header);
  for (std::string line; std::getline(lines, line);) CHECK(line.size() < 300);
}

TEST_SUITE_END();
