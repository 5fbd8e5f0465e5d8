#include <chainrule/graph/emission/definitions.hpp>

#include <doctest/doctest.h>

#include <string>
#include <string_view>
#include <vector>

using namespace chainrule::emission;

TEST_SUITE_BEGIN("graph");

namespace {

using Arguments = std::vector<Argument>;
const Arguments number{Argument::number}, matrix{Argument::matrix};

Defined of_number(std::string_view code) { return defined_in(code, "f", number, Argument::number); }
Defined of_matrix(std::string_view code) { return defined_in(code, "f", matrix, Argument::matrix); }

}  // namespace

TEST_CASE("definitions: what is no definition of a function") {
  for (const std::string code : {
           "",
           "// inline double f(double x) { return x; }\n",
           "/* inline double f(double x) { return x; }\n inline double f(double x) {} */",
           "// one line \\\ninline double f(double x) { return x; }\n",
           "inline const char* g() { return \"double f(double x) { return x; }\"; }",
           "inline const char* g() { return R\"(double f(double x) { return x; })\"; }",
           "inline const char* g() { return R\"a(double f(double x) {)\" })a\"; }",
           "inline double g(double x) { return f(x); }",
           "inline double g(double f) { return f; }",
           "double g(double f);",
           "struct G { static double f(double x) { return x; } };",
           "inline double ff(double x) { return x; }",
           "inline double g(double (*f)(double)) { return f(1); }",
           "inline double g(double x) noexcept(noexcept(f(x))) { return x; }",
       }) {
    CAPTURE(code);
    CHECK(of_number(code) == Defined::no);
  }
}

TEST_CASE("definitions: what is declared alone") {
  for (const std::string code : {
           "inline double f(double x);",
           "double f(double)\n;",
           "namespace a { inline double f(double x); }",
           "extern \"C\" { double f(double); }",
           "template <class T> T f(T x);",
           "auto f(double x) -> double;",
           "double f(double x) = delete;",
           "inline double f(double x);  // double f(double x) { return x; }",
           "double f(double); inline double g(double x) { return f(x); }",
           "struct S g(double x) { return {}; } double f(double);",
           "double f(double); enum Mode g(double x) { return {}; }",
       }) {
    CAPTURE(code);
    CHECK(of_number(code) == Defined::declared);
  }
}

TEST_CASE("definitions: right ones, also where only their headers would tell") {
  for (const std::string code : {
           "inline double f(double x) { return x; }",
           "double f(double x)\n{\n  return x;\n}\n",
           "double f(double x); double f(double x) { return x; }",
           "inline double f(const double& x) noexcept { return x; }",
           "inline double f(const double x, double c = 1.5) { return c * x; }",
           "[[nodiscard]] constexpr double f(double x) { return x; }",
           "static inline long double f(long double x) { return x; }",
           "inline auto f(double x) -> double { return x; }",
           "inline auto f(auto x) { return x; }",
           "inline auto f(const auto& x) { return x; }",
           "template <class T> T f(const T& x) { return x; }",
           "template <typename Matrix> Matrix f(const Matrix& x) { return x; }",
           "template <class T> requires std::is_arithmetic_v<T> T f(T x) { return x; }",
           "template <class... T> double f(T... x) { return (x + ...); }",
           "namespace a { inline double f(double x) { return x; } } using a::f;",
           R"(namespace a::b { inline double g(double x) { return x; } }
              inline double f(double x) { return a::b::g(x); })",
           "extern \"C\" { inline double f(double x) { return x; } }",
           "extern \"C\" inline double f(double x) { return x; }",
           "using std::f;",
           "inline const auto f = [](double x) { return x; };",
           "inline const std::function<double(double)> f = g;",
           "inline constexpr struct { double operator()(double x) const { return x; } } f{};",
           "struct F { double operator()(double x) const { return x; } };\nconst F f;",
           "const Table f(3);",
           "#define f(x) ((x) * (x))\n",
           "#define UNARY(name) inline double name(double x) { return x; }\nUNARY(f)\n",
           "UNARY(f) { return x; }",
           "MY_UNARY(f, x * x);",
           "EIGEN_STRONG_INLINE double f(double x) { return x; }",
           R"(#ifdef FAST
              inline double f(double x) {
              #else
              inline double f(float x) {
              #endif
                return x;
              })",
           "inline real f(real x) { return x; }",
           "inline double f(Size n) { return n; }",
           "inline double f(long double x) { return static_cast<double>(x); }",
           "inline int f(double x) { return x > 0 ? 1 : -1; }",
           R"(inline double g(double x) { if (x > 0) { return x; } return '}' + 1'000 - "}"[0]; }
              inline double f(double x) { return g(x); })",
           "int count = 0; double table[] = {1, 2, 3};\ninline double f(double x) { return x; }",
           "enum class Kind { one, two };\ninline double f(double x) { return x; }",
           R"(inline double f(const Eigen::MatrixXd& x) { return x.sum(); }
              inline double f(double x) { return x; })",
       }) {
    CAPTURE(code);
    CHECK(of_number(code) == Defined::yes);
  }
  for (const std::string code : {
           "inline MatrixXd f(const MatrixXd& x) { return x; }",
           "inline Eigen::MatrixXd f(Eigen::MatrixXd x) { return x; }",
           "inline VectorXd f(VectorXd const& x) { return x; }",
           "inline Eigen::ArrayXXd f(const Eigen::ArrayXXd& x) { return x.exp(); }",
           "inline MatrixXd f(const Eigen::Ref<const MatrixXd>& x) { return x; }",
           "inline MatrixXd f(Eigen::Ref<const MatrixXd> x) { return x; }",
           "template <class D> auto f(const Eigen::MatrixBase<D>& x) { return x.eval(); }",
           "template <class D> MatrixXd f(const Eigen::DenseBase<D>& x) { return x; }",
           R"(inline Eigen::Matrix<double, -1, -1> f(const Eigen::Matrix<double, -1, -1>& x) {
                return x;
              })",
           "using Matrix = Eigen::MatrixXd;\ninline Matrix f(const Matrix& x) { return x; }",
           "using M = Eigen::MatrixXd;\ninline M f(const M& x) { return x; }",
           "template <class T> T f(const T& x) { return x; }",
       }) {
    CAPTURE(code);
    CHECK(of_matrix(code) == Defined::yes);
  }
}

TEST_CASE("definitions: right ones behind others and in less usual forms") {
  for (
      const std::string code : {
          "struct S g(double x) { return {}; } inline double f(double x) { return x; }",
          "enum Mode g(double x) { return {}; } inline double f(double x) { return x; }",
          "inline struct S f(double x) { return {x}; }",
          "auto g(double x) -> struct S { return {}; } double f(double x) { return x; }",
          "struct alignas(16) S { double x; };\ninline double f(double x) { return x; }",
          "inline constexpr struct alignas(8) { double operator()(double x) const; } f{};",
          "class [[deprecated(\"old\")]] S : T<(1 > 0)> {};\ndouble f(double x) { return x; }",
          "S& operator+=(S& a, S b) { return a; } inline double f(double x) { return x; }",
          "bool operator<(S a, S b) { return a.x < b.x; } inline double f(double x) { return x; }",
          "bool operator!=(S a, S b) { return true; } double operator()(S) {} auto f(double x) {}",
          "inline double f(double x, bool turned = 2 > 1, double c = 3) { return c * x; }",
          "inline double f(double x, int n = 1 << 3, std::map<int, int> m = {}) { return x; }",
          "template <class T, std::enable_if_t<!std::is_same_v<T, void>, int> = 0> T f(T x) {}",
          "template <class T> std::enable_if_t<!std::is_same_v<T, void>, T> f(T x) { return x; }",
          "template <class Matrix> requires requires(Matrix x) { x + x; } Matrix f(Matrix x) {}",
          "template <class Matrix> requires true && requires { 1; } Matrix f(Matrix x) {}",
          "template <int N> requires (N < 3) double g() {} double f(double x) { return x; }",
          "template <class T> double g(T x) requires (sizeof(T) > 4) {} double f(double x) {}",
          "inline double f(double x) noexcept(noexcept(x + 1)) { return x; }",
          "inline double f(double x) try { return x; } catch (...) { return 0; }",
          "inline double f [[nodiscard]] (double x) { return x; }",
          "__attribute__((const)) inline double f(double x) { return x; }",
          "inline double(f)(double x) { return x; }",
          "inline double (*const f)(double) = g;",
          "inline int g() { return 0xFF'FF; } inline double f(double x) { return x; }",
          "#include <g.hpp>  // and */*.hpp\ninline double f(double x) { return x; }",
          "#if 0\nIt isn't read.\n#endif\ninline double f(double x) { return x; }",
          "#endif /* What\n isn't read. */\ninline double f(double x) { return x; }",
          "inline double \\\n f(double x) { return x; }",
          R"x(const char* g() { return R"(struct { ( ")"; } inline double f(double x) { return x; })x",
      }) {
    CAPTURE(code);
    CHECK(of_number(code) == Defined::yes);
  }
}

TEST_CASE("definitions: of other arguments, or with another result") {
  for (const std::string code : {
           "inline double f(double x) { return x; }",
           "inline MatrixXd f(double x) { return MatrixXd::Constant(1, 1, x); }",
           "inline MatrixXd f() { return {}; }",
           "inline MatrixXd f(void) { return {}; }",
           "inline MatrixXd f(const MatrixXd& x, const MatrixXd& y) { return x + y; }",
           "inline MatrixXd f(const MatrixXd& x, double c) { return c * x; }",
           "inline MatrixXd f(MatrixXd& x) { return x; }",
           "inline MatrixXd f(Eigen::Ref<MatrixXd> x) { return x; }",
           "inline auto f(double x) { return x; }",
           "template <class T> double f(double x) { return x; }",
       }) {
    CAPTURE(code);
    CHECK(of_matrix(code) == Defined::for_others);
  }
  for (const std::string code : {
           "inline MatrixXd f(const MatrixXd& x) { return x; }",
           "template <class D> double f(const Eigen::MatrixBase<D>& x) { return x.sum(); }",
           "inline double f(double x, double y) { return x + y; }",
           "inline double f(double& x) { return x; }",
           "inline int f(int x) { return x; }",  // which would drop what is behind the point
           "inline double f(const long long& x) { return 2.0 * x; }",
           "inline double f(unsigned x) { return x; }",
           "inline double f(bool x) { return x; }",
           "inline double f(std::size_t n) { return n; }",
       }) {
    CAPTURE(code);
    CHECK(of_number(code) == Defined::for_others);
  }
  CHECK(of_number("struct S g() { return {}; } inline double f(const MatrixXd& x) { return 1; }") ==
        Defined::for_others);
  CHECK(of_matrix("inline double f(const MatrixXd& x) { return x.sum(); }") ==
        Defined::giving_other);
  CHECK(of_matrix("inline void f(const MatrixXd& x) {}") == Defined::giving_other);
  CHECK(of_matrix("inline auto f(const MatrixXd& x) -> double { return x.sum(); }") ==
        Defined::giving_other);
  CHECK(of_number("inline MatrixXd f(double x) { return MatrixXd::Ones(1, 1) * x; }") ==
        Defined::giving_other);
  const Arguments two{Argument::matrix, Argument::matrix};
  const auto defined = [&](std::string_view code) {
    return defined_in(code, "f", two, Argument::matrix);
  };
  CHECK(defined("inline MatrixXd f(const MatrixXd& x, const MatrixXd& y) { return x + y; }") ==
        Defined::yes);
  CHECK(defined("inline MatrixXd f(const MatrixXd& x, double y) { return y * x; }") ==
        Defined::for_others);
  CHECK(defined("inline MatrixXd f(const Eigen::Matrix<double, -1, -1>& x, const MatrixXd& y,\n"
                "                  const std::vector<int>& rows = {1, 2}) { return x + y; }") ==
        Defined::yes);
}

TEST_CASE("definitions: of brackets that are not closed the compiler tells") {
  for (const std::string code :
       {") f(", "} f(x {", ") f(double x {}", "f", "f(", "(f)(", "requires {"}) {
    CAPTURE(code);
    CHECK_NOTHROW(of_number(code));
  }
  CHECK(of_number(") f(") == Defined::yes);
  CHECK(of_number("double f(double x) { return x; }\n#endif") == Defined::yes);
}

TEST_SUITE_END();
