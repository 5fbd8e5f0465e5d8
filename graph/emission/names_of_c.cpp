#include <algorithm>

#include <chainrule/graph/emission/identifiers.hpp>

namespace chainrule::emission {

namespace {

// What <cmath> and the other headers that emitted files include declare outside of std with the C
// libraries of Debian, and what C23 adds to <math.h> and <string.h>; without what the rules below
// say.
constexpr std::string_view names =
    "FILE a64l abort abs acos acosh acospi aligned_alloc alloca arc4random arc4random_buf "
    "arc4random_uniform asctime asin asinh asinpi asprintf at_quick_exit atan atan2 atan2pi atanh "
    "atanpi atexit atof atoi atol basename bcmp bcopy bsearch btowc bzero calloc canonicalize "
    "canonicalize_file_name cbrt ceil clearenv clearerr clock clone compoundn copysign cos cosh "
    "cospi ctermid ctime cuserid daddl daylight ddivl dfmal difftime div dmull dprintf drand48 "
    "drand48_data drem dsqrtl dsubl duplocale dysize ecvt erand48 erf erfc exit exp exp10 exp10m1 "
    "exp2 exp2m1 explicit_bzero expm1 fabs fadd fclose fcloseall fcvt fd_mask fd_set fdim fdiv "
    "fdopen feof ferror fflush ffma ffs fgetc fgetpos fgets fgetwc fgetws fileno finite flockfile "
    "floor fma fmax fmaximum fmaximum_mag fmaximum_mag_num fmaximum_num fmaxmag fmemopen fmin "
    "fminimum fminimum_mag fminimum_mag_num fminimum_num fminmag fmod fmul fopen fopencookie "
    "fprintf fputc fputs fputwc fputws fread free freelocale freopen frexp fromfp fromfpx fscanf "
    "fseek fseeko fsetpos fsqrt fsub ftell ftello ftrylockfile funlockfile fwide fwprintf fwrite "
    "fwscanf gamma gcvt getc getchar getcpu getdate getdate_err getdelim getenv getline "
    "getloadavg getpayload getpt getsubopt getw getwc getwchar gmtime grantpt hypot ilogb index "
    "initstate isalnum isalpha isascii isblank iscanonical iscntrl isctype isdigit iseqsig "
    "isgraph isinff isinfl islower isnanf isnanl isprint ispunct issignaling isspace isupper "
    "iswalnum iswalpha iswblank iswcntrl iswctype iswdigit iswgraph iswlower iswprint iswpunct "
    "iswspace iswupper iswxdigit isxdigit iszero itimerspec j0 j1 jn jrand48 l64a labs lcong48 "
    "lconv ldexp ldiv lgamma llabs lldiv llogb llrint llround localeconv localtime log log10 "
    "log10p1 log1p log2 log2p1 logb logp1 lrand48 lrint lround malloc mblen mbrlen mbrtowc "
    "mbsinit mbsnrtowcs mbsrtowcs mbstowcs mbtowc memccpy memchr memcmp memcpy memfrob memmem "
    "memmove mempcpy memrchr memset memset_explicit mkdtemp mkostemp mkostemps mkstemp mkstemps "
    "mktemp mktime modf mrand48 nan nanosleep nearbyint newlocale nextafter nextdown nexttoward "
    "nextup nrand48 obstack obstack_printf obstack_vprintf on_exit open_memstream open_wmemstream "
    "pclose perror popen posix_memalign posix_openpt pow pown powr printf program_invocation_name "
    "program_invocation_short_name pselect ptsname putc putchar putenv puts putw putwc putwchar "
    "qecvt qfcvt qgcvt qsort quick_exit rand random random_data rawmemchr read realloc "
    "reallocarray realpath remainder remove remquo rename renameat renameat2 rewind rindex rint "
    "rootn round roundeven rpmatch rsqrt scalb scalbln scalbn scanf secure_getenv seed48 select "
    "setbuf setbuffer setenv setlinebuf setlocale setns setpayload setpayloadsig setstate setvbuf "
    "sigabbrev_np sigdescr_np sigevent signal signgam significand sin sincos sinh sinpi snprintf "
    "sprintf sqrt srand srand48 srandom sscanf stderr stdin stdout stpcpy stpncpy strcasecmp "
    "strcasestr strcat strchr strchrnul strcmp strcoll strcpy strcspn strdup strerror "
    "strerrordesc_np strerrorname_np strfromd strfromf strfromf32 strfromf32x strfromf64x "
    "strfroml strfry strftime strlcat strlcpy strlen strncasecmp strncat strncmp strncpy strndup "
    "strnlen strpbrk strptime strrchr strsep strsignal strspn strstr strtod strtof strtof32 "
    "strtof32x strtof64x strtok strtol strtold strtoq strtoul strtouq strverscmp strxfrm swprintf "
    "swscanf system tan tanh tanpi tempnam tgamma time timegm timelocal timespec timespec_get "
    "timespec_getres timeval timex timezone tm tmpfile tmpnam toascii tolower totalorder "
    "totalordermag toupper towctrans towlower towupper trunc tzname tzset u_char u_int u_long "
    "u_short ufromfp ufromfpx uint ulong ungetc ungetwc unlockpt unsetenv unshare uselocale "
    "ushort va_list valloc vasprintf vdprintf vfprintf vfscanf vfwprintf vfwscanf vprintf vscanf "
    "vsnprintf vsprintf vsscanf vswprintf vswscanf vwprintf vwscanf wcpcpy wcpncpy wcrtomb "
    "wcscasecmp wcscat wcschr wcschrnul wcscmp wcscoll wcscpy wcscspn wcsdup wcsftime wcslcat "
    "wcslcpy wcslen wcsncasecmp wcsncat wcsncmp wcsncpy wcsnlen wcsnrtombs wcspbrk wcsrchr "
    "wcsrtombs wcsspn wcsstr wcstod wcstof wcstof32 wcstof32x wcstof64x wcstok wcstol wcstold "
    "wcstombs wcstoq wcstoul wcstouq wcswcs wcswidth wcsxfrm wctob wctomb wctrans wctype wcwidth "
    "wmemchr wmemcmp wmemcpy wmemmove wmempcpy wmemset wprintf write wscanf y0 y1 yn ";

bool has_one_of(std::string_view name, std::initializer_list<std::string_view> beginnings) {
  return std::ranges::any_of(beginnings, [&](std::string_view b) { return name.starts_with(b); });
}

}  // namespace

bool is_name_of_c(std::string_view name) {
  static const Words known = words_in(names);
  if (has_one_of(name, {"sched_", "timer_", "clock_", "cookie_", "pthread_"})) return true;
  if (name.ends_with("_t")) return true;  // POSIX reserves these
  // fabs, fabsf, fabsf64x, lgammal_r, isalpha_l, …
  for (const std::string_view kind : {"", "_r", "_l", "_unlocked", "_np", "64"})
    for (const std::string_view of : {"", "f", "l", "f32", "f32x", "f64", "f64x"})
      if (name.ends_with(kind))
        if (const std::string_view rest = name.substr(0, name.size() - kind.size());
            rest.ends_with(of) && known.contains(rest.substr(0, rest.size() - of.size())))
          return true;
  // Arithmetic that rounds to a narrower type: f32addf64.
  return has_one_of(name, {"f32", "f64"}) && name.find('f', 1) != std::string_view::npos;
}

}  // namespace chainrule::emission
