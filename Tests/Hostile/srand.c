// For LD_PRELOAD: Bochs 2.7 seeds RDRAND and RDSEED by the time of its start. Without that, runs repeat.
void srand(unsigned seed);
void srand(unsigned seed) { (void)seed; }
