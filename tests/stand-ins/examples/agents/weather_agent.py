from examples.agents import stand_in

if __name__ == "__main__":
    stand_in.main()
