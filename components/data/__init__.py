"""Problems: their sources, their split, and the gates that every table of the pipeline passes."""
