"""B1: the whole service ÷ the engine alone, in pages/s of the same pages: a modelled engine, RapidOCR, a tiny vLLM."""
