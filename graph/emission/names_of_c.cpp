#include <string_view>

#include <chainrule/graph/emission/identifiers.hpp>

namespace chainrule::emission {

namespace {

// What the headers that emitted files include declare outside of std with the C libraries of
// Debian, and what C23 adds to <math.h> and <string.h>; without what the rules below say. Made by
// asking g++ for each word of these headers, preprocessed, whether it takes a namespace of that
// name.
constexpr std::string_view names =
    "FILE a64l abort abs access acct acos acosh acospi alarm aligned_alloc alloca arc4random "
    "arc4random_buf arc4random_uniform asctime asin asinh asinpi asprintf at_quick_exit atan "
    "atan2 atan2pi atanh atanpi atexit atof atoi atol basename bcmp bcopy brk bsearch btowc bzero "
    "calloc canonicalize canonicalize_file_name cbrt ceil chdir chown chroot clearenv clearerr "
    "clock clone close close_range closefrom compoundn confstr copy_file_range copysign cos cosh "
    "cospi crypt ctermid ctime cuserid daddl daemon daylight ddivl dfmal difftime div dmull "
    "dprintf drand48 drand48_data drem dsqrtl dsubl dup dup2 dup3 duplocale dysize eaccess ecvt "
    "endusershell environ erand48 erf erfc euidaccess execl execle execlp execv execve execveat "
    "execvp execvpe exit exp exp10 exp10m1 exp2 exp2m1 explicit_bzero expm1 fabs faccessat fadd "
    "fchdir fchown fchownat fclose fcloseall fcvt fd_mask fd_set fdatasync fdim fdiv fdopen feof "
    "ferror fexecve fflush ffma ffs ffsll fgetc fgetpos fgets fgetwc fgetws fileno finite "
    "flockfile floor fma fmax fmaximum fmaximum_mag fmaximum_mag_num fmaximum_num fmaxmag "
    "fmemopen fmin fminimum fminimum_mag fminimum_mag_num fminimum_num fminmag fmod fmul fopen "
    "fopencookie fork fpathconf fprintf fputc fputs fputwc fputws fread free freelocale freopen "
    "frexp fromfp fromfpx fscanf fseek fseeko fsetpos fsqrt fsub fsync ftell ftello ftruncate "
    "ftrylockfile funlockfile fwide fwprintf fwrite fwscanf gamma gcvt get_current_dir_name getc "
    "getchar getcpu getcwd getdate getdate_err getdelim getdomainname getdtablesize getegid "
    "getentropy getenv geteuid getgid getgroups gethostid gethostname getline getloadavg getlogin "
    "getopt getpagesize getpass getpayload getpgid getpgrp getpid getppid getpt getresgid "
    "getresuid getsid getsubopt gettid getuid getusershell getw getwc getwchar getwd gmtime "
    "grantpt group_member hypot ilogb index initstate isalnum isalpha isascii isatty isblank "
    "iscanonical iscntrl isctype isdigit iseqsig isgraph isinff isinfl islower isnanf isnanl "
    "isprint ispunct issignaling isspace isupper iswalnum iswalpha iswblank iswcntrl iswctype "
    "iswdigit iswgraph iswlower iswprint iswpunct iswspace iswupper iswxdigit isxdigit iszero "
    "itimerspec j0 j1 jn jrand48 l64a labs lchown lcong48 lconv ldexp ldiv lgamma link linkat "
    "llabs lldiv llogb llrint llround localeconv localtime lockf log log10 log10p1 log1p log2 "
    "log2p1 logb logp1 lrand48 lrint lround lseek malloc mblen mbrlen mbrtowc mbsinit mbsnrtowcs "
    "mbsrtowcs mbstowcs mbtowc memccpy memchr memcmp memcpy memfrob memmem memmove mempcpy "
    "memrchr memset memset_explicit mkdtemp mkostemp mkostemps mkstemp mkstemps mktemp mktime "
    "modf mrand48 nan nanosleep nearbyint newlocale nextafter nextdown nexttoward nextup nice "
    "nrand48 obstack obstack_printf obstack_vprintf on_exit open_memstream open_wmemstream optarg "
    "opterr optind optopt pathconf pause pclose perror pipe pipe2 popen posix_memalign "
    "posix_openpt pow pown powr pread printf profil program_invocation_name "
    "program_invocation_short_name pselect ptsname putc putchar putenv puts putw putwc putwchar "
    "pwrite qecvt qfcvt qgcvt qsort quick_exit rand random random_data rawmemchr read readlink "
    "readlinkat realloc reallocarray realpath remainder remove remquo rename renameat renameat2 "
    "revoke rewind rindex rint rmdir rootn round roundeven rpmatch rsqrt sbrk scalb scalbln "
    "scalbn scanf secure_getenv seed48 select setbuf setbuffer setdomainname setegid setenv "
    "seteuid setgid sethostid sethostname setlinebuf setlocale setlogin setns setpayload "
    "setpayloadsig setpgid setpgrp setregid setresgid setresuid setreuid setsid setstate setuid "
    "setusershell setvbuf sigabbrev_np sigdescr_np sigevent signal signgam significand sin sincos "
    "sinh sinpi sleep snprintf sprintf sqrt srand srand48 srandom sscanf stderr stdin stdout "
    "stpcpy stpncpy strcasecmp strcasestr strcat strchr strchrnul strcmp strcoll strcpy strcspn "
    "strdup strerror strerrordesc_np strerrorname_np strfromd strfromf strfromf128 strfromf32 "
    "strfromf32x strfromf64x strfroml strfry strftime strlcat strlcpy strlen strncasecmp strncat "
    "strncmp strncpy strndup strnlen strpbrk strptime strrchr strsep strsignal strspn strstr "
    "strtod strtof strtof128 strtof32 strtof32x strtof64_l strtof64x strtok strtol strtold strtoq "
    "strtoul strtouq strverscmp strxfrm swab swprintf swscanf symlink symlinkat sync syncfs "
    "syscall sysconf system tan tanh tanpi tcgetpgrp tcsetpgrp tempnam tgamma time timegm "
    "timelocal timespec timespec_get timespec_getres timeval timex timezone tm tmpfile tmpnam "
    "toascii tolower totalorder totalordermag toupper towctrans towlower towupper trunc truncate "
    "ttyname ttyslot tzname tzset u_char u_int u_long u_short ualarm ufromfp ufromfpx uint ulong "
    "ungetc ungetwc unlink unlinkat unlockpt unsetenv unshare uselocale ushort usleep va_list "
    "valloc vasprintf vdprintf vfork vfprintf vfscanf vfwprintf vfwscanf vhangup vprintf vscanf "
    "vsnprintf vsprintf vsscanf vswprintf vswscanf vwprintf vwscanf wcpcpy wcpncpy wcrtomb "
    "wcscasecmp wcscat wcschr wcschrnul wcscmp wcscoll wcscpy wcscspn wcsdup wcsftime wcslcat "
    "wcslcpy wcslen wcsncasecmp wcsncat wcsncmp wcsncpy wcsnlen wcsnrtombs wcspbrk wcsrchr "
    "wcsrtombs wcsspn wcsstr wcstod wcstof wcstof128 wcstof32 wcstof32x wcstof64_l wcstof64x "
    "wcstok wcstol wcstold wcstombs wcstoq wcstoul wcstouq wcswcs wcswidth wcsxfrm wctob wctomb "
    "wctrans wctype wcwidth wmemchr wmemcmp wmemcpy wmemmove wmempcpy wmemset wprintf write "
    "wscanf y0 y1 yn ";

}  // namespace

bool is_name_of_c(std::string_view name) {
  static const Words known = words_in(names);
  if (starts_with_one_of(name, {"sched_", "timer_", "clock_", "cookie_", "pthread_"})) return true;
  if (name.ends_with("_t")) return true;  // POSIX reserves these
  // fabs, fabsf, fabsf64x, lgammal_r, isalpha_l, …
  for (const std::string_view kind : {"", "_r", "_l", "_unlocked", "_np", "64"})
    for (const std::string_view of : {"", "f", "l", "f32", "f32x", "f64", "f64x", "f128"})
      if (name.ends_with(kind))
        if (const std::string_view rest = name.substr(0, name.size() - kind.size());
            rest.ends_with(of) && known.contains(rest.substr(0, rest.size() - of.size())))
          return true;
  // Arithmetic that rounds to a narrower type: f32addf64, f32xdivf64x.
  for (const std::string_view narrow : {"f32x", "f64x", "f32", "f64"})
    if (name.starts_with(narrow))
      return starts_with_one_of(name.substr(narrow.size()),
                                {"addf", "subf", "mulf", "divf", "fmaf", "sqrtf"});
  return false;
}

}  // namespace chainrule::emission
