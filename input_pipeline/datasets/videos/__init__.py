"""HowTo100M: untrimmed videos."""
