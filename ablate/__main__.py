if __name__ == "__main__":
    from ablate.cli import main

    main()
