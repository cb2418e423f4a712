"""Drivers over transports that exist only in memory; every module names its worlds in `SIMULATED`."""
