"""What came of runs: `glass compare` sets several side by side, `glass report` shows one."""
