// SwiftPM wants a source file in a C target. Everything is in the header, inlined.
#include "CVMX.h"
