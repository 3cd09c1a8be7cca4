"""The oracle for people who label by files; its public class is :class:`alkit.FolderOracle`."""
